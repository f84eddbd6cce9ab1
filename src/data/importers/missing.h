// What becomes of numbers that are not there: --missing error | drop | mean | VALUE. In binary
// formats a number that is not finite is missing. Knows no format and no file.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "source.h"
#include "splits.h"

namespace lockstep::data {

struct Missing {
  enum class Policy : std::uint8_t { kError, kDrop, kMean, kValue };
  Policy policy = Policy::kError;
  double value = 0;  // kValue
  // kMean, by field: the mean of the train split's numbers, of every element where a sample is one
  // row of elements, and of the whole field otherwise
  std::vector<std::vector<double>> means;
};

Missing parse_missing(const std::string& text);  // throws UserError

// kDrop: the source without the samples that lack a number. Reads it once, each rank a part, and
// keeps a bit a sample. Collective.
std::unique_ptr<Source> drop_missing(comm::Communicator& communicator,
                                     const std::vector<SourceField>& fields,
                                     std::unique_ptr<Source> source);

// kMean: reads the train split once, each rank a part; the sums are added by blocks of rows, in
// order. Throws DataError if an element is there in no sample. Collective.
void find_means(comm::Communicator& communicator, const std::vector<SourceField>& fields,
                Source& source, const Choice& train, Missing& missing);

// Fills what is missing in rows that were read, or throws DataError naming the first place.
void fill_missing(const Missing& missing, const std::vector<SourceField>& fields, Source& source,
                  std::span<const std::int64_t> rows, std::span<std::byte* const> out,
                  std::span<const std::uint8_t> lacking);

// Rows that are held at a time.
std::int64_t rows_at_once(const std::vector<SourceField>& fields, std::int64_t most);

}  // namespace lockstep::data
