// Which format an import reads, and what the fields of all formats have in common.
#include <algorithm>
#include <array>

#include "lockstep/core/error.h"
#include "source.h"

namespace lockstep::data {
namespace {

constexpr std::array<const char*, 9> kFormats = {"idx",    "csv",   "npy", "npz", "png",
                                                 "netcdf", "jsonl", "raw", "text"};

std::string guess(const std::filesystem::path& file) {
  if (std::filesystem::is_directory(file)) return "png";
  std::string name = file.filename().string();
  if (name.find("ubyte") != std::string::npos || name.find("idx") != std::string::npos)
    return "idx";
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  constexpr std::pair<const char*, const char*> kEndings[] = {
      {".csv", "csv"},     {".tsv", "csv"},      {".tab", "csv"},    {".npy", "npy"},
      {".npz", "npz"},     {".nc", "netcdf"},    {".nc4", "netcdf"}, {".cdf", "netcdf"},
      {".jsonl", "jsonl"}, {".ndjson", "jsonl"}, {".txt", "text"}};
  for (const auto& [ending, format] : kEndings)
    if (name.ends_with(ending)) return format;
  throw UserError("cannot tell the format of {} by its name; give --format {}", file.string(),
                  fmt::join(kFormats, ", "));
}

}  // namespace

std::string import_format(const ImportOptions& options) {
  if (options.format.empty()) return options.train.empty() ? "" : guess(options.train.front());
  if (options.format == "tsv") return "csv";
  if (std::find(kFormats.begin(), kFormats.end(), options.format) == kFormats.end())
    throw UserError("unknown format \"{}\"; the formats are {}", options.format,
                    fmt::join(kFormats, ", "));
  return options.format;
}

void settle_target(const ImportOptions& options, const std::string& file, SourceField& field) {
  field.role = "target";
  field.classes = options.target_is_class;
  if (!field.classes) return;
  if (field.column.sample.rank() != 0)
    throw UserError("{} has targets of {}, which are no classes; give --target-kind value", file,
                    field.column.sample.text());
  if (is_float(field.column.dtype))
    throw UserError("{} has labels of type {}, which are no classes; give --target-kind value",
                    file, name_of(field.column.dtype));
}

void require_same_fields(const std::vector<SourceField>& train, const std::string& train_file,
                         const std::vector<SourceField>& test, const std::string& test_file) {
  for (std::size_t f = 0; f < std::min(train.size(), test.size()); ++f) {
    const Column &a = train[f].column, &b = test[f].column;
    if (a.dtype != b.dtype || !(a.sample == b.sample))
      throw DataError("{} has {} of {} {}, but {} of {} {}", test_file, a.name, name_of(b.dtype),
                      b.sample.text(), train_file, name_of(a.dtype), a.sample.text());
  }
  if (train.size() != test.size())
    throw DataError("{} has {} fields, but {} has {}", test_file, test.size(), train_file,
                    train.size());
}

}  // namespace lockstep::data
