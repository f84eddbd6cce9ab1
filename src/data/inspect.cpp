#include <algorithm>
#include <nlohmann/json.hpp>

#include "elements.h"
#include "hdf5.h"
#include "lockstep/core/error.h"
#include "lockstep/core/units.h"
#include "lockstep/data/import.h"
#include "lockstep/data/tokenizer.h"
#include "scan.h"

namespace lockstep::data {
namespace {

using nlohmann::json;
using Row = std::vector<std::string>;

std::string table_text(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) line += fmt::format("{:<{}}  ", row[c], widths[c]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line;
    text += '\n';
  }
  return text;
}

struct Stored {
  std::string filters;
  std::uint64_t bytes = 0;  // in the file
};

std::string filter_name(H5Z_filter_t filter) {
  switch (filter) {
    case H5Z_FILTER_DEFLATE:
      return "deflate";
    case H5Z_FILTER_SHUFFLE:
      return "shuffle";
    case H5Z_FILTER_FLETCHER32:
      return "fletcher32";
    case H5Z_FILTER_SZIP:
      return "szip";
    case H5Z_FILTER_NBIT:
      return "nbit";
    case H5Z_FILTER_SCALEOFFSET:
      return "scaleoffset";
    default:
      return fmt::format("filter {}", filter);
  }
}

Stored stored_form(const InputFile& file, const Field& field) {
  Hdf5Lock lock;
  Stored stored;
  const Handle dataset(H5Dopen2(file.id(), field.path.c_str(), H5P_DEFAULT), H5Dclose);
  const Handle creation(dataset ? H5Dget_create_plist(dataset.get()) : -1, H5Pclose);
  if (!creation)
    throw DataError("{}: cannot open dataset {} ({})", file.path().string(), field.path,
                    hdf5_reason());
  stored.bytes = H5Dget_storage_size(dataset.get());
  for (int i = 0; i < H5Pget_nfilters(creation.get()); ++i) {
    unsigned flags, configuration;
    std::size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags,
                                               &values, nullptr, 0, nullptr, &configuration);
    if (i > 0) stored.filters += '+';
    stored.filters += filter_name(filter);
  }
  return stored;
}

std::string number_text(double value) { return fmt::format("{:.6g}", value); }

Row field_row(const InputFile& file, const Split& split, const Field& f) {
  const Stored stored = stored_form(file, f);
  Row row{split.name,
          f.name,
          f.role.empty() ? "-" : f.role,
          std::string(name_of(f.dtype)),
          fmt::format("{} x {}", f.count, f.sample.text()),
          f.chunk > 0 ? fmt::format("{} rows", f.chunk) : "contiguous",
          stored.filters.empty() ? "-" : stored.filters,
          bytes_text(static_cast<double>(stored.bytes))};
  if (f.has_statistics)
    for (const double v : {f.mean, f.deviation, f.minimum, f.maximum})
      row.push_back(number_text(v));
  else
    row.insert(row.end(), 4, "-");
  row.push_back(f.classes > 0 ? std::to_string(f.classes) : "-");
  return row;
}

// Samples of each class in each split, from the file's own manifest; "" for a foreign file.
std::string class_table(const Manifest& manifest) {
  if (manifest.text.empty()) return {};
  std::string text;
  const json told = json::parse(manifest.text);
  for (const auto& [name, field] : told.at("fields").items()) {
    if (!field.contains("class_counts")) continue;
    const json names = field.value("class_names", json::array());
    Row header{name};
    for (const Split& split : manifest.splits) header.push_back(split.name);
    std::vector<Row> rows{header};
    for (std::size_t c = 0; c < field.at("classes").get<std::size_t>(); ++c) {
      Row row{c < names.size() ? fmt::format("{} {}", c, names[c].get<std::string>())
                               : std::to_string(c)};
      for (const Split& split : manifest.splits) {
        const json counts = field.at("class_counts").value(split.name, json::array());
        row.push_back(std::to_string(c < counts.size() ? counts[c].get<std::int64_t>() : 0));
      }
      rows.push_back(std::move(row));
    }
    text += fmt::format("\n{}", table_text(rows));
  }
  return text;
}

// Of a file that was imported from text: its tokenizer, and what it makes of each split.
std::string tokens_table(const Manifest& manifest) {
  if (manifest.text.empty()) return {};
  const json told = json::parse(manifest.text);
  if (!told.contains("tokenizer")) return {};
  const json& tokenizer = told.at("tokenizer");
  std::string text = fmt::format("\ntokenizer: {}, vocabulary {}", tokenizer.value("kind", "?"),
                                 tokenizer.value("vocabulary", std::int64_t{0}));
  if (tokenizer.contains("model_bytes"))
    text += fmt::format(", a model of {}", bytes_text(tokenizer.value("model_bytes", 0.0)));
  std::vector<Row> rows{{"split", "tokens", "bytes of text", "bytes a token"}};
  for (const Split& split : manifest.splits) {
    const json of = told.value("text", json::object()).value(split.name, json::object());
    rows.push_back({split.name, std::to_string(split.samples),
                    std::to_string(of.value("bytes", std::int64_t{0})),
                    fmt::format("{:.3f}", of.value("bytes_per_token", 0.0))});
  }
  return fmt::format("{}\n{}", text, table_text(rows));
}

void check_field(const std::shared_ptr<const InputFile>& file, const Field& field) {
  const std::int64_t elements = field.sample.elements();
  const auto value_at = [&](const std::byte* rows, std::int64_t i) {
    double value;
    to_doubles(field.dtype, rows + static_cast<std::size_t>(i) * size_of(field.dtype), 1, &value);
    return value;
  };
  scan_rows(file, field, [&](std::int64_t first, std::int64_t count, const std::byte* rows) {
    const std::int64_t all = count * elements;
    if (const std::int64_t bad = first_not_finite(field.dtype, rows, all); bad < all)
      throw DataError("{}: dataset {}, row {}, element {} is {}", file->path().string(), field.path,
                      first + bad / elements, bad % elements, value_at(rows, bad));
    const bool tokens = field.role == "tokens";
    if ((field.role != "target" && !tokens) || field.classes == 0) return;
    if (const std::int64_t bad = first_bad_label(field.dtype, rows, all, field.classes); bad < all)
      throw DataError("{}: dataset {}, row {} is {}, which is no {} number from 0 to {}",
                      file->path().string(), field.path, first + bad / elements,
                      value_at(rows, bad), tokens ? "token" : "class", field.classes - 1);
  });
}

}  // namespace

std::string inspect_text(const std::filesystem::path& path) {
  const Manifest manifest = read_manifest(path);
  const InputFile file(path);
  std::vector<Row> rows{{"split", "field", "role", "type", "shape", "chunk", "filters", "stored",
                         "mean", "deviation", "minimum", "maximum", "classes"}};
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) rows.push_back(field_row(file, split, field));
  const auto size = static_cast<double>(std::filesystem::file_size(path));
  const char* origin = manifest.text.empty() ? "a foreign HDF5 file" : "a dataset file of lockstep";
  return fmt::format("{}: {}, {}\n\n{}{}", path.string(), origin, bytes_text(size),
                     table_text(rows), class_table(manifest) + tokens_table(manifest));
}

void inspect_check(const std::filesystem::path& path) {
  const Manifest manifest = read_manifest(path);
  const auto file = std::make_shared<const InputFile>(path);
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) check_field(file, field);
  if (!manifest.text.empty() && json::parse(manifest.text).contains("tokenizer"))
    read_tokenizer(path);
}

}  // namespace lockstep::data
