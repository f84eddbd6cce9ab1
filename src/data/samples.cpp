#include "samples.h"

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

Affine affine_of(const Manifest& manifest, const Field& field, Normalise normalise) {
  if (normalise == Normalise::kNone) return {};
  if (!field.has_statistics)
    throw UserError(
        "{} has no statistics of {} to normalise by; set data.normalise = \"none\", or "
        "import the data",
        manifest.file.string(), field.path);
  const bool standard = normalise == Normalise::kStandard;
  const double shift = standard ? field.mean : field.minimum;
  const double width = standard ? field.deviation : field.maximum - field.minimum;
  // A field of one value only becomes zero.
  return {static_cast<float>(shift), width > 0 ? static_cast<float>(1 / width) : 1.0F};
}

}  // namespace

Samples::Samples(const Manifest& manifest, const LoaderOptions& options)
    : options_(options), file_(std::make_shared<const InputFile>(manifest.file)) {
  const Field& input = resolve_field(manifest, options.split, options.input, "input");
  const Field& target = resolve_field(manifest, options.split, options.target, "target");
  const std::string file = manifest.file.string();
  if (options.target_is_class && target.sample.elements() != 1)
    throw UserError(
        "{}: dataset {} has samples of {}, but a class target is one integer a sample; "
        "choose another data.target or loss",
        file, target.path, target.sample.text());
  if (options.target_is_class && options.classes < 1)
    throw UserError("{}: dataset {} has no known number of classes; set model.outputs", file,
                    target.path);
  affine_ = affine_of(manifest, input, options.normalise);
  input_ = std::make_unique<const FieldReader>(file_, input);
  target_ = std::make_unique<const FieldReader>(file_, target);
}

std::int64_t Samples::read(std::int64_t first, std::int64_t count, std::byte* input,
                           std::byte* target, Kept& kept) const {
  return input_->read(first, count, input, kept.input) +
         target_->read(first, count, target, kept.target);
}

void Samples::check_finite(const Field& field, const std::byte* rows, std::int64_t count,
                           const std::function<std::int64_t(std::int64_t)>& row_at) const {
  const std::int64_t elements = field.sample.elements();
  const std::int64_t bad = first_not_finite(field.dtype, rows, count * elements);
  if (bad == count * elements) return;
  double value;
  to_doubles(field.dtype, rows + static_cast<std::size_t>(bad) * size_of(field.dtype), 1, &value);
  throw DataError(
      "{}: dataset {}, row {}, element {} is {}; clean the data, or set "
      "data.check_finite = false",
      file_->path().string(), field.path, row_at(bad / elements), bad % elements, value);
}

void Samples::check(const std::byte* input_rows, const std::byte* target_rows, std::int64_t count,
                    const std::function<std::int64_t(std::int64_t)>& row_at) const {
  if (options_.check_finite) check_finite(input(), input_rows, count, row_at);
  if (!options_.target_is_class) {
    if (options_.check_finite) check_finite(target(), target_rows, count, row_at);
    return;
  }
  const std::int64_t bad = first_bad_label(target().dtype, target_rows, count, options_.classes);
  if (bad == count) return;
  double value;
  to_doubles(target().dtype, target_rows + static_cast<std::size_t>(bad) * size_of(target().dtype),
             1, &value);
  throw DataError(
      "{}: dataset {}, row {} is {}, which is no class number from 0 to {}; check the "
      "labels, or the number of classes",
      file_->path().string(), target().path, row_at(bad), value, options_.classes - 1);
}

void Samples::convert_input(const std::byte* rows, std::int64_t count, float* out) const {
  to_floats(input().dtype, rows, count * input().sample.elements(), affine_, out);
}

void Samples::convert_target(const std::byte* rows, std::int64_t count, std::int32_t* labels,
                             float* values) const {
  if (options_.target_is_class)
    to_labels(target().dtype, rows, count, labels);
  else
    to_floats(target().dtype, rows, count * target().sample.elements(), {}, values);
}

}  // namespace lockstep::data
