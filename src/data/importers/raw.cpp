// Plain numbers in files: samples of one type and shape, or records of several fields, one behind
// another; the files of a split follow each other.
#include <algorithm>
#include <charconv>

#include "element_rows.h"
#include "lockstep/core/error.h"
#include "source.h"

namespace lockstep::data {
namespace {

struct RecordField {
  Column column;
  std::uint64_t begin = 0;  // in the record
};

struct Record {
  std::vector<RecordField> fields;
  std::uint64_t bytes = 0;
};

Shape parse_shape(std::string_view text) {
  Shape shape;
  while (!text.empty()) {
    std::int64_t extent = 0;
    const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), extent);
    if (code != std::errc{} || extent < 1 || shape.rank() == Shape::kMaxRank - 1 ||
        (stop != text.data() + text.size() && *stop != ',' && *stop != 'x') ||
        extent > std::int64_t{1} << 40 || shape.elements() > std::int64_t{1} << 40)
      throw UserError("\"{}\" is no shape; give numbers such as 3,32,32", text);
    shape = shape.append(extent);
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    if (text.size() == 1)
      throw UserError("a shape ends in \"{}\"; give numbers such as 3,32,32", text);
    if (!text.empty()) text.remove_prefix(1);
  }
  return shape;
}

DType stored_type(std::string_view name) {
  const DType type = dtype_from(name);
  if (type == DType::kBF16)
    throw UserError("--type bf16 has no form in HDF5; convert the file to f32");
  return type;
}

void add_field(Record& record, std::string name, std::string_view type, std::string_view shape) {
  RecordField field{{std::move(name), stored_type(type), parse_shape(shape)}, record.bytes};
  record.bytes +=
      static_cast<std::uint64_t>(field.column.sample.elements()) * size_of(field.column.dtype);
  record.fields.push_back(std::move(field));
}

// "label:u8 image:u8:3x32x32"
Record parse_record(const ImportOptions& options) {
  Record record;
  if (options.record.empty()) {
    if (options.type.empty())
      throw UserError(
          "raw files do not say what they hold; give --type, such as f32, and --shape, such as "
          "3,32,32, or --record");
    add_field(record, "x", options.type, options.shape);
    return record;
  }
  std::string_view text = options.record;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (text.empty()) break;
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    const auto first = word.find(':');
    if (first == 0 || first == std::string_view::npos)
      throw UserError(
          "--record has \"{}\"; its fields are NAME:TYPE or NAME:TYPE:SHAPE, such as "
          "\"label:u8 image:u8:3x32x32\"",
          word);
    const std::string name(word.substr(0, first));
    for (const RecordField& other : record.fields)
      if (other.column.name == name) throw UserError("--record has two fields \"{}\"", name);
    const std::string_view rest = word.substr(first + 1);
    const auto second = rest.find(':');
    add_field(record, name, rest.substr(0, second),
              second == std::string_view::npos ? "" : rest.substr(second + 1));
  }
  if (record.fields.empty()) throw UserError("--record names no field");
  return record;
}

// A field that --target names, or one called label or target, is the target; of the others the
// first, or that of --input, is the input.
std::vector<SourceField> roles_of(const ImportOptions& options, const Record& record) {
  std::vector<SourceField> fields;
  for (const RecordField& field : record.fields)
    fields.push_back({field.column, "", false, {}, {}, ""});
  const auto named = [&](const std::string& name) {
    const auto found = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& f) { return f.column.name == name; });
    if (found == fields.end()) throw UserError("--record has no field \"{}\"", name);
    return static_cast<std::size_t>(found - fields.begin());
  };
  std::size_t target = fields.size();
  if (!options.target.empty()) target = named(options.target);
  for (std::size_t f = 0; f < fields.size() && options.target.empty(); ++f)
    if (fields[f].column.name == "label" || fields[f].column.name == "target") target = f;
  if (target < fields.size()) settle_target(options, "--record", fields[target]);
  if (!options.inputs.empty()) {
    fields[named(options.inputs.front())].role = "input";
    return fields;
  }
  for (SourceField& field : fields) {
    if (!field.role.empty()) continue;
    field.role = "input";
    break;
  }
  return fields;
}

class RawFiles final : public Source {
 public:
  RawFiles(const ImportOptions& options, const std::vector<std::filesystem::path>& files,
           const Record& record) {
    for (const auto& path : files) {
      const auto bytes = open_bytes(path);
      const std::int64_t rows = rows_of(*bytes, record, static_cast<std::uint64_t>(options.skip));
      File file{begin_of_next_, {}};
      for (const RecordField& field : record.fields) {
        ElementLayout layout;
        layout.begin = static_cast<std::uint64_t>(options.skip) + field.begin;
        layout.dtype = field.column.dtype;
        layout.sample = field.column.sample;
        layout.rows = rows;
        layout.stride = record.bytes;
        layout.big_endian = options.order == "big";
        // Fields of a packed file are read at different places, and going back costs all of it.
        file.fields.emplace_back(
            std::make_shared<Part>(bytes->size() ? bytes : open_bytes(path), field.begin), layout);
      }
      files_.push_back(std::move(file));
      begin_of_next_ += rows;
    }
  }
  std::int64_t samples() const override { return begin_of_next_; }
  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t>) override {
    for (std::size_t done = 0; done < rows.size();) {
      File& file = file_of(rows[done]);
      numbers_.clear();
      while (done + numbers_.size() < rows.size() &&
             rows[done + numbers_.size()] < file.begin + file.fields.front().layout().rows)
        numbers_.push_back(rows[done + numbers_.size()] - file.begin);
      for (std::size_t f = 0; f < fields.size(); ++f) {
        const ElementLayout& layout = file.fields[f].layout();
        const auto row = static_cast<std::size_t>(layout.sample.elements()) * size_of(layout.dtype);
        file.fields[f].read(numbers_, fields[f] + done * row);
      }
      done += numbers_.size();
    }
  }
  std::string place(std::int64_t row, std::size_t field) override {
    const File& file = file_of(row);
    return fmt::format("{}: row {}", file.fields[field].name(), row - file.begin);
  }

 private:
  struct File {
    std::int64_t begin = 0;
    std::vector<ElementRows> fields;
  };
  // The file as one field of its records sees it: whole, though the field may end before it does.
  class Part final : public PositionedBytes {
   public:
    Part(std::shared_ptr<PositionedBytes> bytes, std::uint64_t behind)
        : PositionedBytes(bytes->name()), bytes_(std::move(bytes)), behind_(behind) {}
    std::size_t read_at(std::uint64_t offset, void* out, std::size_t bytes) override {
      return bytes_->read_at(offset, out, bytes);
    }
    std::optional<std::uint64_t> size() const override {
      const auto size = bytes_->size();
      return size ? std::optional(*size + behind_) : std::nullopt;
    }

   private:
    std::shared_ptr<PositionedBytes> bytes_;
    std::uint64_t behind_;
  };

  static std::int64_t rows_of(PositionedBytes& bytes, const Record& record, std::uint64_t skip) {
    std::uint64_t size = bytes.size().value_or(0);
    if (!bytes.size()) {  // a packed file tells its size when it is unpacked
      std::vector<char> block(1 << 20);
      while (const std::size_t n = bytes.read_at(size, block.data(), block.size())) size += n;
    }
    if (size <= skip || (size - skip) % record.bytes != 0)
      throw DataError(
          "{} has {} bytes; behind the {} that are skipped that is no multiple of the {} bytes of "
          "a "
          "sample: check --type, --shape, --record and --skip",
          bytes.name(), size, skip, record.bytes);
    return static_cast<std::int64_t>((size - skip) / record.bytes);
  }

  File& file_of(std::int64_t row) {
    const auto next = std::upper_bound(files_.begin(), files_.end(), row,
                                       [](std::int64_t r, const File& f) { return r < f.begin; });
    return *std::prev(next);
  }
  std::vector<File> files_;
  std::int64_t begin_of_next_ = 0;
  std::vector<std::int64_t> numbers_;
};

}  // namespace

Sources open_raw(const ImportOptions& options) {
  if (options.order != "little" && options.order != "big")
    throw UserError("--order is \"{}\"; it must be little or big", options.order);
  const Record record = parse_record(options);
  Sources sources;
  sources.description.fields = roles_of(options, record);
  sources.train = std::make_unique<RawFiles>(options, options.train, record);
  if (!options.test.empty())
    sources.test = std::make_unique<RawFiles>(options, options.test, record);
  return sources;
}

}  // namespace lockstep::data
