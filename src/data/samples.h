// What a split's samples are to a model: which two fields, how their elements become numbers, and
// which elements cannot be trusted. Knows nothing of lanes or windows.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "conversion.h"
#include "draw.h"
#include "lockstep/data/loader.h"
#include "row_source.h"
#include "skips.h"

namespace lockstep::data {

class HeldRows;

class Samples {
 public:
  // What the elements of a field count, for a sentence about a wrong one.
  struct Numbers {
    const char *name, *doubt;
  };
  // Opens the file. Throws UserError for a field or split that is not there, for standardising
  // without statistics, for a class target that is neither one integer a sample nor one a token.
  Samples(const Manifest& manifest, const LoaderOptions& options, const OpenOptions& open = {});

  const Field& input() const { return input_; }
  const Field& target() const { return target_; }
  std::int64_t count() const { return input().count; }

  // The last decoded units of somebody who reads in order.
  struct Kept {
    KeptUnit input, target;
  };
  // Copies rows as the file has them, checked. Returns the bytes read from the file. Throws
  // DataError for the first that cannot be trusted; with OnError::kSkip, instead of each such row
  // stands the next one that can be, in the order of the file, cyclic.
  std::int64_t read(std::int64_t first, std::int64_t count, std::byte* input, std::byte* target,
                    Kept& kept) const;
  const Skips& skips() const { return skips_; }
  // From now on rows that lie in memory are read there.
  void hold(const HeldRows* held) { held_ = held; }
  // Throws DataError naming file, dataset, row and value. row_at(i) is the row of the i-th sample.
  using RowAt = std::function<std::int64_t(std::int64_t)>;
  void check(const std::byte* input, const std::byte* target, std::int64_t count,
             const RowAt& row_at) const;
  // Bytes of one converted input sample: floats, or int32 tokens.
  std::size_t input_bytes() const {
    return static_cast<std::size_t>(input_conversion_.elements()) * sizeof(float);
  }
  std::int64_t target_elements() const { return target_conversion_.elements(); }  // converted

  // What a sample draws that stands there in the order of an epoch; where none is given, in
  // evaluation, nothing is left to chance.
  Draw draw(std::int64_t epoch, std::int64_t lane, std::int64_t place_in_segment) const {
    return {options_.seed, epoch, lane, place_in_segment};
  }
  // Converts rows, the first of which has this draw, the others those of the places after it. One
  // of labels and values is written, by options.target_is_class.
  void convert_input(const std::byte* rows, std::int64_t count, const Draw& draw, void* out) const;
  void convert_target(const std::byte* rows, std::int64_t count, const Draw& draw,
                      std::int32_t* labels, float* values) const;

 private:
  std::int64_t read_checked(std::int64_t first, std::int64_t count, std::byte* input,
                            std::byte* target, Kept& kept) const;
  std::int64_t read_or_next(std::int64_t row, std::byte* input, std::byte* target,
                            Kept& kept) const;
  std::string place(bool of_input, std::int64_t row, std::int64_t element) const;
  void check_numbers(bool of_input, const std::byte* rows, std::int64_t count,
                     const RowAt& row_at) const;
  void check_values(bool of_input, const std::byte* rows, std::int64_t count,
                    const RowAt& row_at) const;
  // Elements must be integers in [0, limit).
  void check_range(bool of_input, const std::byte* rows, std::int64_t count, std::int64_t limit,
                   const Numbers& kind, const RowAt& row_at) const;
  LoaderOptions options_;
  Field input_, target_;
  std::unique_ptr<const RowSource> input_rows_, target_rows_;
  const HeldRows* held_ = nullptr;
  Conversion input_conversion_, target_conversion_;
  mutable Skips skips_;
};

}  // namespace lockstep::data
