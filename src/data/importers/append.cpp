#include "append.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "../elements.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

using nlohmann::json;
using Names = std::vector<std::string>;

// How the class numbers of a field become those of the older version.
struct Renumbering {
  DType from = DType::kU8, to = DType::kU8;
  std::vector<std::int64_t> numbers;  // empty: they stay
  bool changes = false;
};

std::int64_t largest_of(DType type) {
  switch (type) {
    case DType::kU8:
      return std::numeric_limits<std::uint8_t>::max();
    case DType::kI8:
      return std::numeric_limits<std::int8_t>::max();
    case DType::kU16:
      return std::numeric_limits<std::uint16_t>::max();
    case DType::kI16:
      return std::numeric_limits<std::int16_t>::max();
    default:
      return std::numeric_limits<std::int32_t>::max();
  }
}

class ConformedSource final : public Source {
 public:
  ConformedSource(std::unique_ptr<Source> source, std::vector<Renumbering> renumberings)
      : source_(std::move(source)),
        renumberings_(std::move(renumberings)),
        rows_(renumberings_.size()) {}

  std::int64_t samples() const override { return source_->samples(); }
  std::string place(std::int64_t row, std::size_t field) override {
    return source_->place(row, field);
  }

  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t> missing) override {
    to_.assign(fields.begin(), fields.end());
    for (std::size_t f = 0; f < renumberings_.size(); ++f) {
      if (!renumberings_[f].changes) continue;
      rows_[f].resize(rows.size() * size_of(renumberings_[f].from));
      to_[f] = rows_[f].data();
    }
    source_->read(rows, to_, missing);
    for (std::size_t f = 0; f < renumberings_.size(); ++f)
      if (renumberings_[f].changes) renumber(f, rows, missing, fields[f]);
  }

 private:
  void renumber(std::size_t f, std::span<const std::int64_t> rows,
                std::span<const std::uint8_t> missing, std::byte* out) {
    const Renumbering& how = renumberings_[f];
    const std::size_t bytes = size_of(how.to);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double value = 0;
      to_doubles(how.from, rows_[f].data() + i * size_of(how.from), 1, &value);
      auto number = missing[i] != 0 ? 0 : static_cast<std::int64_t>(value);
      if (!how.numbers.empty() && number >= 0 &&
          number < static_cast<std::int64_t>(how.numbers.size()))
        number = how.numbers[static_cast<std::size_t>(number)];
      if (number < 0 || number > largest_of(how.to))
        throw DataError("{} has the label {}, which does not fit the older version's {}",
                        source_->place(rows[i], f), number, name_of(how.to));
      // Little endian: the low bytes come first.
      const auto* low = reinterpret_cast<const std::byte*>(&number);
      std::copy(low, low + bytes, out + i * bytes);
    }
  }

  std::unique_ptr<Source> source_;
  std::vector<Renumbering> renumberings_;
  std::vector<std::vector<std::byte>> rows_;
  std::vector<std::byte*> to_;
};

// Numbers of the names in `known`, behind which new ones are put.
std::vector<std::int64_t> numbers_in(Names& known, const Names& names) {
  std::vector<std::int64_t> numbers;
  for (const std::string& name : names) {
    auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) found = known.insert(known.end(), name);
    numbers.push_back(found - known.begin());
  }
  return numbers;
}

[[noreturn]] void refuse(const Manifest& old, const std::string& why) {
  throw UserError("cannot append to {}: {}", old.name(), why);
}

Renumbering conform(const Manifest& old, const Field& field, const json& told, SourceField& mine) {
  Renumbering how{mine.column.dtype, field.dtype, {}, false};
  if (mine.column.sample != field.sample)
    refuse(old, fmt::format("its samples of {} are {}, the new ones {}", field.name,
                            field.sample.text(), mine.column.sample.text()));
  if (told.contains("columns") && told["columns"].get<Names>() != mine.column_names)
    refuse(old, fmt::format("the columns of {} are others, or in another order", field.name));
  if (mine.classes) {
    Names known = told.value("class_names", Names());
    if (known.empty() != mine.class_names.empty())
      refuse(old,
             fmt::format("the classes of {} are {} there, and {} here", field.name,
                         known.empty() ? "numbers" : "names", known.empty() ? "names" : "numbers"));
    how.numbers = numbers_in(known, mine.class_names);
    mine.class_names = std::move(known);
  } else if (how.from != how.to) {
    refuse(old, fmt::format("its {} is {}, the new one {}", field.name, name_of(how.to),
                            name_of(how.from)));
  }
  how.changes = how.from != how.to || !how.numbers.empty();
  mine.column.dtype = field.dtype;
  mine.role = field.role;
  if (!field.unit.empty()) mine.unit = field.unit;
  return how;
}

}  // namespace

std::optional<Manifest> read_older_version(comm::Communicator& communicator,
                                           const ImportOptions& options) {
  if (options.append.empty()) return std::nullopt;
  Description description;
  description.path = {options.append.string()};
  Manifest old = read_manifest(communicator, description);
  communicator.together([&] {
    std::error_code error;  // of a name that is free
    for (const auto& file : old.files)
      if (std::filesystem::equivalent(file, options.out, error))
        throw UserError("{} shares the chunks of {}; give its next version another name",
                        options.append.string(), file.string());
  });
  if (old.id.empty())
    throw UserError(
        "{} has no hashes and no id; import it again, or seal it with `lockstep inspect --seal`",
        old.name());
  return old;
}

void conform_to(const Manifest& old, Sources& sources) {
  std::vector<SourceField>& fields = sources.description.fields;
  const json text = old.text.empty() ? json::object() : json::parse(old.text);
  const json told = text.value("fields", json::object());
  const Split& split = old.splits.front();
  if (fields.size() != split.fields.size())
    refuse(old,
           fmt::format("it has {} fields, the new samples {}", split.fields.size(), fields.size()));
  std::vector<Renumbering> renumberings;
  for (SourceField& mine : fields) {
    const Field* field = split.find(mine.column.name);
    if (field == nullptr) refuse(old, fmt::format("it has no field {}", mine.column.name));
    renumberings.push_back(conform(old, *field, told.value(field->name, json::object()), mine));
  }
  const bool changes = std::any_of(renumberings.begin(), renumberings.end(),
                                   [](const auto& r) { return r.changes; });
  if (!changes) return;
  for (auto* source : {&sources.train, &sources.test})
    if (*source) *source = std::make_unique<ConformedSource>(std::move(*source), renumberings);
}

void take_chunk_of(const Manifest& old, SplitPlan& plan) {
  const Split* split = old.find(plan.name);
  if (split == nullptr || split->fields.front().chunk < 1) return;
  plan.chunk = std::min(split->fields.front().chunk, plan.samples);
  for (ChunkForm& form : plan.forms) form.rows = plan.chunk;
}

}  // namespace lockstep::data
