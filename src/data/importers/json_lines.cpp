// JSON lines (jsonlines.org): an object a line. Its numbers form a field, each list of numbers one
// of its own, and one key is the target.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "cells.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "record_index.h"
#include "source.h"

namespace lockstep::data {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kTargetKeys[] = {"label", "target", "y", "class"};
constexpr std::size_t kMostLineBytes = 1 << 28;
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

// Lines by their number.
class Lines {
 public:
  Lines(std::shared_ptr<PositionedBytes> bytes, std::shared_ptr<const RecordIndex> index)
      : bytes_(std::move(bytes)), index_(std::move(index)) {}

  json at(std::int64_t record) {
    const RecordPlace& place = index_->before(record);
    if (next_ < 0 || next_ > record || next_ < place.record) {
      offset_ = place.offset;
      next_ = place.record;
      next_line_ = place.line;
      text_.clear();
      begin_ = 0;
    }
    while (next_ < record) read_line();
    read_line();
    json object = json::parse(line_text_, nullptr, false);
    if (object.is_discarded() || !object.is_object())
      throw DataError("{}: line {} is no JSON object; mend or remove it", path(), line_);
    return object;
  }
  std::string_view text() const { return line_text_; }
  std::int64_t line() const { return line_; }
  const std::string& path() const { return bytes_->name(); }

 private:
  // The next line that is not blank.
  void read_line() {
    do {
      std::size_t end;
      while ((end = text_.find('\n', begin_)) == std::string::npos && fill()) continue;
      if (end == std::string::npos) end = text_.size();
      line_text_ = std::string_view(text_).substr(begin_, end - begin_);
      line_ = next_line_++;
      if (begin_ >= text_.size())
        throw DataError("{} changed while it was imported (near line {})", path(), line_);
      begin_ = std::min(end + 1, text_.size());
    } while (line_text_.find_first_not_of(" \t\r") == std::string_view::npos);
    ++next_;
  }
  bool fill() {
    constexpr std::size_t kMore = 256 << 10;
    text_.erase(0, begin_);
    begin_ = 0;
    if (text_.size() > kMostLineBytes)
      throw DataError("{}: line {} is longer than {} bytes", path(), next_line_, kMostLineBytes);
    const std::size_t had = text_.size();
    text_.resize(had + kMore);
    const std::size_t n = bytes_->read_at(offset_, text_.data() + had, kMore);
    text_.resize(had + n);
    offset_ += n;
    return n > 0;
  }
  std::shared_ptr<PositionedBytes> bytes_;
  std::shared_ptr<const RecordIndex> index_;
  std::string text_;
  std::string_view line_text_;  // in text_
  std::size_t begin_ = 0;
  std::uint64_t offset_ = 0;  // of what comes behind text_
  std::int64_t next_ = -1, next_line_ = 1, line_ = 1;
};

// Where the numbers of a field come from: some keys with a number each, or one with a list.
struct FieldKeys {
  std::vector<std::string> keys;
  Column column;
  bool list = false;
};

struct Plan {
  std::vector<FieldKeys> inputs;
  std::string target;  // "": none
  Labels labels;
  std::vector<std::string> left_out;
};

bool is_number(const ordered_json& value) { return value.is_number() || value.is_boolean(); }

// The shape of a list of numbers, or of such lists; false if it holds something else.
bool shape_of(const ordered_json& value, Shape& shape) {
  if (!value.is_array()) return is_number(value) || value.is_null();
  if (value.empty() || shape.rank() == Shape::kMaxRank - 1) return false;
  shape = shape.append(static_cast<std::int64_t>(value.size()));
  return shape_of(value.front(), shape);
}

// By the first object of the file.
Plan make_plan(const ordered_json& first, const ImportOptions& options, const std::string& path) {
  const auto keys = [&] {
    std::string names;
    for (const auto& [key, value] : first.items()) names += (names.empty() ? "" : ", ") + key;
    return names;
  };
  const auto require = [&](const std::string& key) {
    if (!first.contains(key))
      throw UserError("{}: the first object has no \"{}\"; it has: {}", path, key, keys());
  };
  Plan plan;
  plan.target = options.target;
  for (const char* key : kTargetKeys)
    if (plan.target.empty() && first.contains(key)) plan.target = key;
  if (!plan.target.empty()) require(plan.target);
  const DType type = options.type.empty() ? DType::kF32 : dtype_from(options.type);
  if (type != DType::kF32 && type != DType::kF64 && type != DType::kI32 && type != DType::kI64 &&
      type != DType::kU8)
    throw UserError("--type {} is not written from JSON; give f32, f64, i32, i64 or u8",
                    options.type);
  FieldKeys numbers{{}, {"features", type, {}}, false};
  for (const std::string& input : options.inputs) require(input);
  for (const auto& [key, value] : first.items()) {
    const bool named =
        std::find(options.inputs.begin(), options.inputs.end(), key) != options.inputs.end();
    if (key == plan.target || (!options.inputs.empty() && !named)) continue;
    Shape shape;
    if (is_number(value) || value.is_null())
      numbers.keys.push_back(key);
    else if (value.is_array() && shape_of(value, shape))
      plan.inputs.push_back({{key}, {key, type, shape}, true});
    else if (named)
      throw UserError("{}: \"{}\" of the first object holds no numbers", path, key);
    else
      plan.left_out.push_back(key);
  }
  if (!numbers.keys.empty()) {
    numbers.column.sample = {static_cast<std::int64_t>(numbers.keys.size())};
    plan.inputs.insert(plan.inputs.begin(), std::move(numbers));
  }
  if (plan.inputs.empty())
    throw DataError("{}: the first object has no numbers beside the target; it has: {}", path,
                    keys());
  if (!plan.left_out.empty())
    log::warn("keys that hold no numbers are left out: {}", fmt::join(plan.left_out, ", "));
  return plan;
}

// A target as the text that CSV would have; "" for none.
std::string cell_of(const json& object, const std::string& key, const Lines& lines) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_boolean()) return found->get<bool>() ? "1" : "0";
  if (!found->is_number())
    throw DataError("{}: line {}, \"{}\" is neither a number nor a text", lines.path(),
                    lines.line(), key);
  return found->dump();
}

class JsonSource final : public Source {
 public:
  JsonSource(std::shared_ptr<PositionedBytes> bytes, std::shared_ptr<const RecordIndex> index,
             std::shared_ptr<const Plan> plan, const ImportOptions& options)
      : lines_(std::move(bytes), index),
        plan_(std::move(plan)),
        samples_(index->records),
        missing_(options),
        fills_(options.missing != "error") {}
  std::int64_t samples() const override { return samples_; }
  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t> missing) override {
    std::vector<std::byte*> out(fields.begin(), fields.end());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const json object = lines_.at(rows[i]);
      for (std::size_t f = 0; f < plan_->inputs.size(); ++f)
        read_field(object, plan_->inputs[f], out[f], missing[i]);
      if (!plan_->target.empty()) read_target(object, out.back(), missing[i]);
    }
  }
  std::string place(std::int64_t row, std::size_t) override {
    lines_.at(row);
    return fmt::format("{}: line {}", lines_.path(), lines_.line());
  }

 private:
  void read_field(const json& object, const FieldKeys& field, std::byte*& out,
                  std::uint8_t& missing) {
    for (const std::string& key : field.keys) {
      const auto found = object.find(key);
      const json& value = found == object.end() ? kNull : *found;
      if (field.list && !value.is_null())
        read_list(value, field.column.sample, 0, key, field.column.dtype, out, missing);
      else
        for (std::int64_t e = field.list ? field.column.sample.elements() : 1; e > 0; --e)
          put(value, key, field.column.dtype, out, missing);
    }
  }

  void read_list(const json& value, const Shape& shape, int depth, const std::string& key,
                 DType type, std::byte*& out, std::uint8_t& missing) {
    if (depth == shape.rank()) return put(value, key, type, out, missing);
    if (!value.is_array() || static_cast<std::int64_t>(value.size()) != shape[depth])
      refuse(key, fmt::format("is no list of {}, as in the first object", shape.text()));
    for (const json& element : value) read_list(element, shape, depth + 1, key, type, out, missing);
  }

  void put(const json& value, const std::string& key, DType type, std::byte*& out,
           std::uint8_t& missing) {
    const bool absent = value.is_null() || (fills_ && value.is_string() &&
                                            missing_(value.get_ref<const std::string&>()));
    if (!absent && !value.is_number() && !value.is_boolean()) refuse(key, "is no number");
    if (is_float(type)) {
      const double number = absent               ? kNothing
                            : value.is_boolean() ? value.get<bool>()
                                                 : value.get<double>();
      if (type == DType::kF32) {
        const auto narrow = static_cast<float>(number);
        if (!absent && !std::isfinite(narrow)) refuse(key, "does not fit f32");
        store(narrow, out);
      } else {
        store(number, out);
      }
      return;
    }
    if (absent) missing = 1;
    const bool whole = absent || value.is_boolean() || value.is_number_integer();
    const bool fits = !value.is_number_unsigned() ||
                      value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max();
    if (!whole || !fits) refuse(key, fmt::format("is no number of type {}", name_of(type)));
    const std::int64_t number = absent               ? 0
                                : value.is_boolean() ? value.get<bool>()
                                                     : value.get<std::int64_t>();
    if (type == DType::kI64) return store(number, out);
    const bool small = type == DType::kU8
                           ? number >= 0 && number <= 255
                           : number == static_cast<std::int64_t>(static_cast<std::int32_t>(number));
    if (!small) refuse(key, fmt::format("does not fit {}", name_of(type)));
    if (type == DType::kU8)
      store(static_cast<std::uint8_t>(number), out);
    else
      store(static_cast<std::int32_t>(number), out);
  }

  template <class T>
  static void store(T value, std::byte*& out) {
    std::memcpy(out, &value, sizeof value);
    out += sizeof value;
  }

  void read_target(const json& object, std::byte*& out, std::uint8_t& missing) {
    const std::string cell = cell_of(object, plan_->target, lines_);
    const Labels& labels = plan_->labels;
    const std::size_t bytes = size_of(labels.dtype());
    const float nothing = std::numeric_limits<float>::quiet_NaN();
    if (missing_(cell)) {
      missing |= labels.classes;
      std::memset(out, 0, bytes);
      if (!labels.classes) std::memcpy(out, &nothing, bytes);
    } else if (!labels.write(cell, out)) {
      throw DataError("{} changed while it was imported (near line {})", lines_.path(),
                      lines_.line());
    }
    out += bytes;
  }

  [[noreturn]] void refuse(const std::string& key, const std::string& why) const {
    throw DataError("{}: line {}, \"{}\" {}; mend or remove the line", lines_.path(), lines_.line(),
                    key, why);
  }

  static inline const json kNull;
  Lines lines_;
  std::shared_ptr<const Plan> plan_;
  std::int64_t samples_;
  MissingCells missing_;
  bool fills_;
};

struct File {
  std::shared_ptr<PositionedBytes> bytes;
  std::shared_ptr<const RecordIndex> index;
};

File open_file(comm::Communicator& communicator, const std::filesystem::path& path,
               Progress& progress) {
  File file;
  communicator.together([&] { file.bytes = open_bytes(path); });
  auto index = index_records(communicator, *file.bytes, {'\0', false, true}, progress);
  if (index.records == 0) throw DataError("{} is empty; it has no line", path.string());
  file.index = std::make_shared<const RecordIndex>(std::move(index));
  return file;
}

ColumnSeen survey_target(comm::Communicator& communicator, const File& file, const Plan& plan,
                         const ImportOptions& options) {
  const std::int64_t rows = file.index->records, ranks = communicator.size(),
                     position = communicator.topology().position;
  const MissingCells is_missing(options);
  ColumnSeen mine;
  communicator.together([&] {
    Lines lines(file.bytes, file.index);
    for (std::int64_t row = rows * position / ranks; row < rows * (position + 1) / ranks; ++row) {
      const json object = lines.at(row);
      mine.see(cell_of(object, plan.target, lines), is_missing, options.target_is_class, [&] {
        return fmt::format("{}: line {}, \"{}\"", lines.path(), lines.line(), plan.target);
      });
    }
  });
  std::vector<std::byte> message;
  mine.put(message);
  const auto all = communicator.gather_all(message);
  ColumnSeen seen;
  for (std::span<const std::byte> rest = all; !rest.empty();) seen.merge(ColumnSeen::take(rest));
  return seen;
}

}  // namespace

Sources open_json_lines(comm::Communicator& communicator, const ImportOptions& options,
                        Progress& progress) {
  if (options.train.size() != 1 || options.test.size() > 1)
    throw UserError("a split of a JSON lines import is one file");
  std::vector<File> files{open_file(communicator, options.train.front(), progress)};
  if (!options.test.empty())
    files.push_back(open_file(communicator, options.test.front(), progress));
  Plan plan;
  communicator.together([&] {
    // Ordered as in the file, so that columns are.
    Lines lines(files.front().bytes, files.front().index);
    lines.at(0);
    plan = make_plan(ordered_json::parse(lines.text()), options, lines.path());
  });
  if (!plan.target.empty()) {
    ColumnSeen seen;
    std::int64_t total = 0;
    for (const File& file : files) {
      seen.merge(survey_target(communicator, file, plan, options));
      total += file.index->records;
    }
    plan.labels = Labels::settle(seen, total, plan.target, options.train.front().string(), options);
  }
  Sources sources;
  for (const FieldKeys& input : plan.inputs) {
    SourceField field{input.column, "", false, {}, {}, ""};
    if (!input.list) field.column_names = input.keys;
    sources.description.fields.push_back(std::move(field));
  }
  sources.description.fields.front().role = "input";
  if (!plan.target.empty())
    sources.description.fields.push_back(
        {{plan.labels.classes ? "label" : "target", plan.labels.dtype(), {}},
         "target",
         plan.labels.classes,
         plan.labels.class_names,
         {},
         ""});
  sources.description.left_out = plan.left_out;
  const auto shared = std::make_shared<const Plan>(std::move(plan));
  const auto source = [&](const File& file) {
    return std::make_unique<JsonSource>(file.bytes, file.index, shared, options);
  };
  sources.train = source(files.front());
  if (files.size() > 1) sources.test = source(files.back());
  return sources;
}

}  // namespace lockstep::data
