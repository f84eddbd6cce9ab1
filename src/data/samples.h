// What a split's samples are to a model: which two fields, how their elements become numbers, and
// which elements cannot be trusted. Knows nothing of lanes or windows.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "elements.h"
#include "field_reader.h"
#include "lockstep/data/loader.h"

namespace lockstep::data {

class Samples {
 public:
  // What the elements of a field count, for a sentence about a wrong one.
  struct Numbers {
    const char *name, *doubt;
  };
  // Opens the file. Throws UserError for a field or split that is not there, for standardising
  // without statistics, for a class target that is neither one integer a sample nor one a token.
  Samples(const Manifest& manifest, const LoaderOptions& options);

  const Field& input() const { return input_->field(); }
  const Field& target() const { return target_->field(); }
  std::int64_t count() const { return input().count; }

  // The last decoded chunks of somebody who reads in order.
  struct Kept {
    DecodedChunk input, target;
  };
  // Copies rows as the file has them. Returns the bytes read from the file.
  std::int64_t read(std::int64_t first, std::int64_t count, std::byte* input, std::byte* target,
                    Kept& kept) const;
  // Throws DataError naming file, dataset, row and value. row_at(i) is the row of the i-th sample.
  using RowAt = std::function<std::int64_t(std::int64_t)>;
  void check(const std::byte* input, const std::byte* target, std::int64_t count,
             const RowAt& row_at) const;
  // Bytes of one converted input sample: floats, or int32 tokens.
  std::size_t input_bytes() const {
    return static_cast<std::size_t>(input().sample.elements()) * sizeof(float);
  }
  // Converts rows; one of labels and values is written, by options.target_is_class.
  void convert_input(const std::byte* rows, std::int64_t count, void* out) const;
  void convert_target(const std::byte* rows, std::int64_t count, std::int32_t* labels,
                      float* values) const;

 private:
  void check_finite(const Field& field, const std::byte* rows, std::int64_t count,
                    const RowAt& row_at) const;
  // Elements must be integers in [0, limit).
  void check_range(const Field& field, const std::byte* rows, std::int64_t count,
                   std::int64_t limit, const Numbers& kind, const RowAt& row_at) const;
  LoaderOptions options_;
  std::shared_ptr<const InputFile> file_;
  std::unique_ptr<const FieldReader> input_, target_;
  Affine affine_;
};

}  // namespace lockstep::data
