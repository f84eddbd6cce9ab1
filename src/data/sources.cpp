#include "sources.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "dataset_header.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMostDepth = 32;

// Where HDF5 seeks a source of a virtual dataset first, if the user's environment says so.
fs::path source_path(const InputFile& file, const std::string& name) {
  const char* told = std::getenv("HDF5_VDS_PREFIX");
  if (fs::path(name).is_absolute() || told == nullptr) return seen_from(file, name);
  std::string prefix = told;
  constexpr std::string_view kOrigin = "${ORIGIN}";
  if (prefix.starts_with(kOrigin))
    prefix = folder_of(file).string() + prefix.substr(kOrigin.size());
  std::error_code ignored;
  const fs::path there = fs::path(prefix) / name;
  return fs::exists(there, ignored) ? there : seen_from(file, name);
}

struct Source {
  std::string file, dataset;
  bool external = false;  // raw bytes, no HDF5
};

std::string text_of(ssize_t length, const auto& get) {
  std::string text(static_cast<std::size_t>(std::max<ssize_t>(length, 0)) + 1, '\0');
  get(text.data(), text.size());
  text.pop_back();
  return text;
}

std::vector<Source> sources_of(const Located& dataset) {
  const Hdf5Lock lock;
  const Handle open = open_located(*dataset.file, dataset.path);
  const Handle creation(open ? H5Dget_create_plist(open.get()) : -1, H5Pclose);
  std::vector<Source> sources;
  if (!creation) return sources;  // whoever reads it says so
  const hid_t plist = creation.get();
  const int raw = H5Pget_external_count(plist);
  for (int i = 0; i < raw; ++i) {
    std::array<char, 4096> name{};
    off_t offset = 0;
    hsize_t bytes = 0;
    if (H5Pget_external(plist, static_cast<unsigned>(i), name.size() - 1, name.data(), &offset,
                        &bytes) >= 0)
      sources.push_back({name.data(), "", true});
  }
  std::size_t mappings = 0;
  if (H5Pget_layout(plist) != H5D_VIRTUAL || H5Pget_virtual_count(plist, &mappings) < 0)
    return sources;
  for (std::size_t i = 0; i < mappings; ++i) {
    Source source;
    source.file = text_of(H5Pget_virtual_filename(plist, i, nullptr, 0), [&](char* out, auto size) {
      H5Pget_virtual_filename(plist, i, out, size);
    });
    source.dataset =
        text_of(H5Pget_virtual_dsetname(plist, i, nullptr, 0),
                [&](char* out, auto size) { H5Pget_virtual_dsetname(plist, i, out, size); });
    if (sources.empty() || sources.back().file != source.file ||
        sources.back().dataset != source.dataset)
      sources.push_back(std::move(source));
  }
  return sources;
}

// "%b" in a source's names counts its blocks; "%%" is a percent sign.
std::string numbered(const std::string& name, std::int64_t block) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool sign = name[i] == '%' && i + 1 < name.size();
    if (sign && name[i + 1] == 'b') {
      out += std::to_string(block);
      ++i;
    } else {
      out += name[i];
      if (sign && name[i + 1] == '%') ++i;
    }
  }
  return out;
}

bool check_source(const Located& dataset, const Source& source, const Reach& reach, int depth,
                  bool needed);

void check_all_sources(const Located& dataset, const Reach& reach, int depth) {
  const std::string from =
      fmt::format("{}: dataset {}", dataset.file->path().string(), dataset.path);
  if (depth > kMostDepth) throw DataError("{} is made of itself", from);
  constexpr std::int64_t kMostBlocks = 1 << 20;
  for (const Source& source : sources_of(dataset)) {
    const bool counts =
        !source.external && (numbered(source.file, 0) != numbered(source.file, 1) ||
                             numbered(source.dataset, 0) != numbered(source.dataset, 1));
    // The first block that is not there is the end; there may be none at all.
    for (std::int64_t block = 0; block < (counts ? kMostBlocks : 1); ++block) {
      const Source one{numbered(source.file, block), numbered(source.dataset, block),
                       source.external};
      if (!check_source(dataset, counts ? one : source, reach, depth, !counts)) break;
    }
  }
}

// False: it is not there, and needs not be.
bool check_source(const Located& dataset, const Source& source, const Reach& reach, int depth,
                  bool needed) {
  const std::string from =
      fmt::format("{}: dataset {}", dataset.file->path().string(), dataset.path);
  std::error_code ignored;
  if (source.external) {
    const fs::path raw = seen_from(*dataset.file, source.file);
    reach.check(raw, from);
    if (!fs::exists(raw, ignored))
      throw DataError("{} has its data in {}, which is not there", from, raw.string());
    return true;
  }
  std::shared_ptr<const InputFile> file = dataset.file;
  if (source.file != ".") {
    const fs::path target = source_path(*dataset.file, source.file);
    reach.check(target, from);
    if (!fs::exists(target, ignored)) {
      if (!needed) return false;
      throw DataError(
          "{} is virtual, and its source {} is not there; HDF5 would take the fill value for its "
          "samples",
          from, target.string());
    }
    file = open_input(target);
  }
  const auto found = locate(file, source.dataset, reach);
  if (!found && !needed) return false;
  if (!found)
    throw DataError("{} is virtual, and its source {} has no dataset {}", from,
                    file->path().string(), source.dataset);
  {  // HDF5 crashes on some headers that read_header() refuses
    const Hdf5Lock lock;
    const Handle header = open_located(*found->file, found->path);
    if (header) read_header(header.get(), found->file->path().string(), found->path);
  }
  check_all_sources(*found, reach, depth + 1);
  return true;
}

}  // namespace

void check_sources(const Located& dataset, const Reach& reach) {
  check_all_sources(dataset, reach, 0);
}

}  // namespace lockstep::data
