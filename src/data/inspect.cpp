#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "chunk_filters.h"
#include "hdf5.h"
#include "links.h"
#include "lockstep/core/error.h"
#include "lockstep/core/units.h"
#include "lockstep/data/import.h"
#include "lockstep/data/versions.h"
#include "row_source.h"

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

constexpr std::size_t kMostAsked = 1000;  // pieces whose stored size is asked for

Stored stored_form(const Manifest& manifest, const Field& field) {
  Stored stored;
  for (const Piece& piece : field.pieces) {
    const auto file = open_input(manifest.files[static_cast<std::size_t>(piece.file)]);
    const Hdf5Lock lock;
    const Handle dataset(H5Dopen2(file->id(), piece.path.c_str(), H5P_DEFAULT), H5Dclose);
    const Handle creation(dataset ? H5Dget_create_plist(dataset.get()) : -1, H5Pclose);
    if (!creation)
      throw DataError("{}: cannot open dataset {} ({})", file->path().string(), piece.path,
                      hdf5_reason());
    stored.bytes += H5Dget_storage_size(dataset.get());
    if (&piece != field.pieces.data()) continue;
    for (int i = 0; i < H5Pget_nfilters(creation.get()); ++i) {
      unsigned flags, configuration;
      std::size_t values = 0;
      const H5Z_filter_t filter = H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags,
                                                 &values, nullptr, 0, nullptr, &configuration);
      if (i > 0) stored.filters += '+';
      stored.filters += filter_name(filter);
    }
    if (field.pieces.size() > kMostAsked) return {stored.filters, 0};
  }
  return stored;
}

std::string number_text(double value) { return fmt::format("{:.6g}", value); }

Row field_row(const Manifest& manifest, const Split& split, const Field& f) {
  const Stored stored = stored_form(manifest, f);
  Row row{split.name,
          f.name,
          f.role.empty() ? "-" : f.role,
          std::string(name_of(f.dtype)),
          fmt::format("{} x {}", f.count, f.sample.text()),
          f.unit.empty() ? "-" : f.unit,
          f.chunk > 0 ? fmt::format("{} rows", f.chunk) : "contiguous",
          stored.filters.empty() ? "-" : stored.filters,
          stored.bytes > 0 ? bytes_text(static_cast<double>(stored.bytes)) : "-"};
  const Figures& figures = f.figures.known ? f.figures : f.reference;
  if (figures.known && f.classes == 0)
    for (const double v : {figures.mean, figures.deviation, figures.minimum, figures.maximum})
      row.push_back(number_text(v));
  else
    row.insert(row.end(), 4, "-");
  row.push_back(f.classes > 0 ? std::to_string(f.classes) : "-");
  return row;
}

// Samples of each class in each split.
std::string class_table(const Manifest& manifest) {
  constexpr std::int64_t kMostShown = 1000;
  std::string text;
  const json whole = manifest.text.empty() ? json::object() : json::parse(manifest.text);
  const json told = whole.value("fields", json::object());
  std::set<std::string> done;
  for (const Split& source : manifest.splits)
    for (const Field& field : source.fields) {
      if (field.classes < 1 || field.classes > kMostShown || field.role == "tokens") continue;
      if (!done.insert(field.name).second) continue;
      const json names = told.value(field.name, json::object()).value("class_names", json::array());
      Row header{field.name};
      for (const Split& split : manifest.splits) header.push_back(split.name);
      std::vector<Row> rows{header};
      bool counted = false;
      for (std::size_t c = 0; c < static_cast<std::size_t>(field.classes); ++c) {
        Row row{c < names.size() ? fmt::format("{} {}", c, names[c].get<std::string>())
                                 : std::to_string(c)};
        for (const Split& split : manifest.splits) {
          const Field* f = split.find(field.name);
          const bool known = f != nullptr && c < f->figures.classes.size();
          counted = counted || known;
          row.push_back(std::to_string(known ? f->figures.classes[c] : 0));
        }
        rows.push_back(std::move(row));
      }
      if (counted) text += fmt::format("\n{}", table_text(rows));
    }
  return text;
}

// "id", "parent", "made", "files": what is known of this version.
std::string version_lines(const Manifest& manifest) {
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<8}{}\n", name, value);
  };
  line("id", manifest.id);
  const json told = manifest.text.empty() ? json::object() : json::parse(manifest.text);
  line("parent", told.value("parent", ""));
  const json made = told.value("made", json::object());
  std::string how = made.value("command", made.value("by", ""));
  if (made.contains("version")) how += fmt::format(" ({})", made["version"].get<std::string>());
  line("made", how);
  constexpr std::size_t kShown = 5;
  const json inputs = made.value("inputs", json::array());
  for (std::size_t i = 0; i < std::min(inputs.size(), kShown); ++i)
    line(i == 0 ? "from" : "",
         fmt::format("{}{}", inputs[i].value("name", ""),
                     inputs[i].contains("bytes")
                         ? ", " + bytes_text(inputs[i].at("bytes").get<double>())
                         : ""));
  if (inputs.size() > kShown) line("", fmt::format("and {} more", inputs.size() - kShown));
  for (std::size_t i = 1; i < std::min(manifest.files.size(), kShown + 1); ++i)
    line(i == 1 ? "with" : "", manifest.files[i].string());
  if (manifest.files.size() > kShown + 1)
    line("", fmt::format("and {} more files", manifest.files.size() - kShown - 1));
  return text.empty() ? text : "\n" + text;
}

// A histogram in one line: eight heights, and a dot for parts that are empty.
std::string bars(const std::vector<std::int64_t>& counts) {
  static constexpr std::array kBars{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::int64_t most =
      std::max<std::int64_t>(*std::max_element(counts.begin(), counts.end()), 1);
  std::string text;
  for (const std::int64_t n : counts)
    text += n == 0 ? "." : kBars[static_cast<std::size_t>((n * 8 - 1) / most)];
  return text;
}

std::string figures_text(const Manifest& manifest) {
  std::string text;
  for (const Split& split : manifest.splits)
    for (const Field& f : split.fields) {
      const Figures& figures = f.figures;
      if (!figures.known) continue;
      text += fmt::format("\n{} {}: {} elements, {} not finite\n", split.name, f.name,
                          figures.count, figures.not_finite);
      if (!figures.histogram.empty())
        text += fmt::format("  {} from {} to {}\n", bars(figures.histogram),
                            number_text(figures.low), number_text(figures.high));
      constexpr std::size_t kShown = 16;
      for (std::size_t c = 0; c < std::min(figures.channel_mean.size(), kShown); ++c)
        text += fmt::format("  channel {}: mean {}, deviation {}\n", c,
                            number_text(figures.channel_mean[c]),
                            number_text(figures.channel_deviation[c]));
      if (figures.channel_mean.size() > kShown)
        text += fmt::format("  and {} more channels\n", figures.channel_mean.size() - kShown);
    }
  return text;
}

// By which way each field is read, and why not by a shorter one.
std::string way_of(const Manifest& manifest, const Split& split, const Field& field) {
  try {
    return open_units(manifest, split, field)->way();
  } catch (const DataError& error) {
    return fmt::format("cannot be read: {}", error.what());
  }
}

std::string ways_text(const Manifest& manifest) {
  std::string text;
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields)
      text += fmt::format("{} {}: {}\n", split.name, field.name, way_of(manifest, split, field));
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

}  // namespace

std::string inspect_text(const Description& description, bool verbose) {
  const Manifest manifest = read_manifest(description);
  std::vector<Row> rows{{"split", "field", "role", "type", "shape", "unit", "chunk", "filters",
                         "stored", "mean", "deviation", "minimum", "maximum", "classes"}};
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) rows.push_back(field_row(manifest, split, field));
  double size = 0;
  for (const auto& file : manifest.files)
    size += static_cast<double>(std::filesystem::file_size(file));
  const char* origin = manifest.text.empty() ? "a foreign HDF5 file" : "a dataset file of lockstep";
  std::string text =
      fmt::format("{}: {}, {}\n{}\n{}\n{}{}", manifest.name(), origin, bytes_text(size),
                  version_lines(manifest), table_text(rows), ways_text(manifest),
                  class_table(manifest) + tokens_table(manifest));
  if (verbose) text += figures_text(manifest);
  const std::string unchecked = unchecked_text(manifest);
  return unchecked.empty() ? text : text + "\n" + unchecked + "\n";
}

std::string inspect_text(const std::filesystem::path& path) {
  Description description;
  description.path = {path.string()};
  return inspect_text(description, false);
}

}  // namespace lockstep::data
