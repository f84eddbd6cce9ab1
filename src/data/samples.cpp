#include "samples.h"

#include "elements.h"
#include "held_rows.h"
#include "lockstep/core/error.h"
#include "normaliser.h"

namespace lockstep::data {
namespace {

// A class target is one integer a sample, or one for each token of the input.
void check_labels(const std::string& file, const Field& input, const Field& target,
                  const LoaderOptions& options) {
  const std::int64_t labels = target.seen().elements();
  const bool by_token = options.input_is_tokens && labels == input.sample.elements();
  if (labels != options.labels && !by_token)
    throw UserError(
        "{}: dataset {} has samples of {}, but a class target is one integer a sample; "
        "choose another data.target or loss",
        file, target.path, target.seen().text());
  const Transform& t = target.transform;
  if (t.log1p || t.scale != 1 || t.offset != 0 || t.one_hot > 0 || t.normalise)
    throw UserError(
        "field '{}' is a target of classes, whose numbers stay as they are: leave log1p, scale, "
        "offset, normalise and one_hot out, or choose another loss",
        target.name);
  if (options.classes < 1)
    throw UserError("{}: dataset {} has no known number of classes; set model.outputs", file,
                    target.path);
}

double value_of(const Field& field, const std::byte* rows, std::int64_t element) {
  double value;
  to_doubles(field.dtype, rows + static_cast<std::size_t>(element) * size_of(field.dtype), 1,
             &value);
  return value;
}

// Both are cut at the places that an axis of a sample draws: alike only if they are of one size.
void check_cut_alike(const Field& input, const Field& target) {
  if (!input.transform.crop_random || !target.transform.crop_random) return;
  const auto whole = [](const Field& field, int axis) {
    const std::vector<int>& axes = field.transform.axes;
    return field.sample[axes.empty() ? axis : axes[static_cast<std::size_t>(axis)]];
  };
  const Shape a = input.seen(), b = target.seen();
  const auto axes =
      static_cast<int>(std::min(input.transform.crop.size(), target.transform.crop.size()));
  for (int i = 0; i < axes; ++i) {
    const std::int64_t left_a = whole(input, i) - a[i], left_b = whole(target, i) - b[i];
    if (left_a == 0 || left_b == 0 || (left_a == left_b && a[i] == b[i])) continue;
    throw UserError(
        "the random crops of '{}' and '{}' are {} of {} and {} of {} in axis {}, and would be cut "
        "at different places; give them the same size, or leave crop_random out of one",
        input.name, target.name, a[i], whole(input, i), b[i], whole(target, i), i);
  }
}

constexpr Samples::Numbers kClasses{"class number", "labels, or the number of classes"};
constexpr Samples::Numbers kTokens{"token number", "tokens, or the vocabulary"};
constexpr Samples::Numbers kOneHot{"class number", "field, or its one_hot"};

}  // namespace

Samples::Samples(const Manifest& manifest, const LoaderOptions& options, const OpenOptions& open)
    : options_(options),
      input_(resolve_field(manifest, options.split, options.input, "input")),
      target_(resolve_field(manifest, options.split, options.target, "target")),
      skips_(options.split, input_.count, options.max_skipped) {
  const Field &input = input_, &target = target_;
  const std::string file = manifest.name();
  if (options.target_is_class) check_labels(file, input, target, options);
  if (options.input_is_tokens && options.vocabulary < 1)
    throw UserError("{}: dataset {} has no known vocabulary; import the text again", file,
                    input.path);
  const Normalise of_input =
      options.input_is_tokens ? Normalise::kNone : normalise_of(input, options.normalise);
  const Normalise of_target =
      options.target_is_class ? Normalise::kNone : normalise_of(target, Normalise::kNone);
  check_transform(input, of_input);
  check_transform(target, of_target);
  check_cut_alike(input, target);
  input_conversion_ = Conversion(input, arithmetic_of(manifest, input, of_input));
  target_conversion_ = Conversion(target, arithmetic_of(manifest, target, of_target));
  const Split& split = *manifest.find(options.split);
  input_rows_ = open_rows(manifest, split, input, open);
  target_rows_ = open_rows(manifest, split, target, open);
}

std::int64_t Samples::read_checked(std::int64_t first, std::int64_t count, std::byte* input,
                                   std::byte* target, Kept& kept) const {
  const std::int64_t bytes = input_rows_->read(first, count, input, kept.input) +
                             target_rows_->read(first, count, target, kept.target);
  check(input, target, count, [first](std::int64_t i) { return first + i; });
  return bytes;
}

std::int64_t Samples::read_or_next(std::int64_t row, std::byte* input, std::byte* target,
                                   Kept& kept) const {
  for (std::int64_t at = skips_.next(row);; at = skips_.next((at + 1) % this->count())) {
    try {
      const std::int64_t bytes = read_checked(at, 1, input, target, kept);
      if (at != row) skips_.count_replaced();
      return bytes;
    } catch (const StorageError&) {
      throw;
    } catch (const DataError& error) {
      skips_.add(at, error.what());
    }
  }
}

std::int64_t Samples::read(std::int64_t first, std::int64_t count, std::byte* input,
                           std::byte* target, Kept& kept) const {
  if (held_ != nullptr && held_->has(first) && held_->has(first + count - 1)) {
    held_->copy(first, count, input, target);
    return 0;
  }
  if (options_.on_error == OnError::kStop)
    return read_checked(first, count, input, target, kept);
  try {
    return read_checked(first, count, input, target, kept);
  } catch (const StorageError&) {
    throw;
  } catch (const DataError&) {  // one by one, to find which
  }
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    bytes += read_or_next(first + i, input + at * input_.sample_bytes(),
                          target + at * target_.sample_bytes(), kept);
  }
  return bytes;
}

// Where an element lies in its dataset: a sequence is cut out of a stream of tokens, one a row.
std::string Samples::place(bool of_input, std::int64_t row, std::int64_t element) const {
  const Field& field = of_input ? input_ : target_;
  const RowSource& rows = of_input ? *input_rows_ : *target_rows_;
  if (field.sequence > 0) return rows.place(row, element);
  if (field.sample.elements() == 1) return rows.place(row, 0);
  return fmt::format("{}, element {}", rows.place(row, 0), element);
}

// They must be finite, before and after log1p.
void Samples::check_numbers(bool of_input, const std::byte* rows, std::int64_t count,
                            const RowAt& row_at) const {
  const Field& field = of_input ? input_ : target_;
  const std::int64_t elements = field.sample.elements();
  const auto refuse = [&](std::int64_t bad, const char* why) {
    throw DataError("{} is {}{}; clean the data, or set data.check_finite = false",
                    place(of_input, row_at(bad / elements), bad % elements),
                    value_of(field, rows, bad), why);
  };
  const std::int64_t infinite = first_not_finite(field.dtype, rows, count * elements);
  if (infinite < count * elements) refuse(infinite, "");
  if (!field.transform.log1p) return;
  const std::int64_t low = first_not_above(field.dtype, rows, count * elements, -1);
  if (low < count * elements) refuse(low, ", which has no log1p");
}

void Samples::check_range(bool of_input, const std::byte* rows, std::int64_t count,
                          std::int64_t limit, const Numbers& kind, const RowAt& row_at) const {
  const Field& field = of_input ? input_ : target_;
  const std::int64_t elements = field.sample.elements();
  const std::int64_t bad = first_bad_label(field.dtype, rows, count * elements, limit);
  if (bad == count * elements) return;
  throw DataError("{} is {}, which is no {} from 0 to {}; check the {}",
                  place(of_input, row_at(bad / elements), bad % elements),
                  value_of(field, rows, bad), kind.name, limit - 1, kind.doubt);
}

void Samples::check_values(bool of_input, const std::byte* rows, std::int64_t count,
                           const RowAt& row_at) const {
  const std::int64_t classes = (of_input ? input_ : target_).transform.one_hot;
  if (classes > 0)
    check_range(of_input, rows, count, classes, kOneHot, row_at);
  else if (options_.check_finite)
    check_numbers(of_input, rows, count, row_at);
}

void Samples::check(const std::byte* input_rows, const std::byte* target_rows, std::int64_t count,
                    const RowAt& row_at) const {
  if (options_.input_is_tokens)
    check_range(true, input_rows, count, options_.vocabulary, kTokens, row_at);
  else
    check_values(true, input_rows, count, row_at);
  if (options_.target_is_class)
    check_range(false, target_rows, count, options_.classes, kClasses, row_at);
  else
    check_values(false, target_rows, count, row_at);
}

void Samples::convert_input(const std::byte* rows, std::int64_t count, const Draw& draw,
                            void* out) const {
  if (options_.input_is_tokens)
    input_conversion_.to_labels(rows, count, draw, static_cast<std::int32_t*>(out));
  else
    input_conversion_.to_floats(rows, count, draw, static_cast<float*>(out));
}

void Samples::convert_target(const std::byte* rows, std::int64_t count, const Draw& draw,
                             std::int32_t* labels, float* values) const {
  if (options_.target_is_class)
    target_conversion_.to_labels(rows, count, draw, labels);
  else
    target_conversion_.to_floats(rows, count, draw, values);
}

}  // namespace lockstep::data
