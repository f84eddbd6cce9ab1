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

// A class target is one integer a sample, or one for each token of the input.
void check_labels(const std::string& file, const Field& input, const Field& target,
                  const LoaderOptions& options) {
  const std::int64_t labels = target.sample.elements();
  const bool by_token = options.input_is_tokens && labels == input.sample.elements();
  if (labels != 1 && !by_token)
    throw UserError(
        "{}: dataset {} has samples of {}, but a class target is one integer a sample; "
        "choose another data.target or loss",
        file, target.path, target.sample.text());
  if (options.classes < 1)
    throw UserError("{}: dataset {} has no known number of classes; set model.outputs", file,
                    target.path);
}

// Where an element lies in its dataset: a sequence is cut out of a stream of tokens, one a row.
std::string place_of(const Field& field, std::int64_t row, std::int64_t element) {
  if (field.sequence > 0)
    return fmt::format("row {}", row * field.sequence + field.shift + element);
  if (field.sample.elements() == 1) return fmt::format("row {}", row);
  return fmt::format("row {}, element {}", row, element);
}

double value_of(const Field& field, const std::byte* rows, std::int64_t element) {
  double value;
  to_doubles(field.dtype, rows + static_cast<std::size_t>(element) * size_of(field.dtype), 1,
             &value);
  return value;
}

constexpr Samples::Numbers kClasses{"class number", "labels, or the number of classes"};
constexpr Samples::Numbers kTokens{"token number", "tokens, or the vocabulary"};

}  // namespace

Samples::Samples(const Manifest& manifest, const LoaderOptions& options)
    : options_(options), file_(std::make_shared<const InputFile>(manifest.file)) {
  const Field& input = resolve_field(manifest, options.split, options.input, "input");
  const Field& target = resolve_field(manifest, options.split, options.target, "target");
  const std::string file = manifest.file.string();
  if (options.target_is_class) check_labels(file, input, target, options);
  if (options.input_is_tokens && options.vocabulary < 1)
    throw UserError("{}: dataset {} has no known vocabulary; import the text again", file,
                    input.path);
  if (!options.input_is_tokens) affine_ = affine_of(manifest, input, options.normalise);
  input_ = std::make_unique<const FieldReader>(file_, input);
  target_ = std::make_unique<const FieldReader>(file_, target);
}

std::int64_t Samples::read(std::int64_t first, std::int64_t count, std::byte* input,
                           std::byte* target, Kept& kept) const {
  return input_->read(first, count, input, kept.input) +
         target_->read(first, count, target, kept.target);
}

void Samples::check_finite(const Field& field, const std::byte* rows, std::int64_t count,
                           const RowAt& row_at) const {
  const std::int64_t elements = field.sample.elements();
  const std::int64_t bad = first_not_finite(field.dtype, rows, count * elements);
  if (bad == count * elements) return;
  throw DataError(
      "{}: dataset {}, row {}, element {} is {}; clean the data, or set "
      "data.check_finite = false",
      file_->path().string(), field.path, row_at(bad / elements), bad % elements,
      value_of(field, rows, bad));
}

void Samples::check_range(const Field& field, const std::byte* rows, std::int64_t count,
                          std::int64_t limit, const Numbers& kind, const RowAt& row_at) const {
  const std::int64_t elements = field.sample.elements();
  const std::int64_t bad = first_bad_label(field.dtype, rows, count * elements, limit);
  if (bad == count * elements) return;
  throw DataError("{}: dataset {}, {} is {}, which is no {} from 0 to {}; check the {}",
                  file_->path().string(), field.path,
                  place_of(field, row_at(bad / elements), bad % elements),
                  value_of(field, rows, bad), kind.name, limit - 1, kind.doubt);
}

void Samples::check(const std::byte* input_rows, const std::byte* target_rows, std::int64_t count,
                    const RowAt& row_at) const {
  if (options_.input_is_tokens)
    check_range(input(), input_rows, count, options_.vocabulary, kTokens, row_at);
  else if (options_.check_finite)
    check_finite(input(), input_rows, count, row_at);
  if (options_.target_is_class)
    check_range(target(), target_rows, count, options_.classes, kClasses, row_at);
  else if (options_.check_finite)
    check_finite(target(), target_rows, count, row_at);
}

void Samples::convert_input(const std::byte* rows, std::int64_t count, void* out) const {
  const std::int64_t elements = count * input().sample.elements();
  if (options_.input_is_tokens)
    to_labels(input().dtype, rows, elements, static_cast<std::int32_t*>(out));
  else
    to_floats(input().dtype, rows, elements, affine_, static_cast<float*>(out));
}

void Samples::convert_target(const std::byte* rows, std::int64_t count, std::int32_t* labels,
                             float* values) const {
  const std::int64_t elements = count * target().sample.elements();
  if (options_.target_is_class)
    to_labels(target().dtype, rows, elements, labels);
  else
    to_floats(target().dtype, rows, elements, {}, values);
}

}  // namespace lockstep::data
