#include "found.h"

#include <algorithm>

#include "dataset_header.h"
#include "hash_store.h"
#include "lockstep/core/error.h"
#include "manifest_text.h"
#include "sources.h"

namespace lockstep::data {
namespace {

H5I_type_t type_of(const Located& at, const std::string& where) {
  const Hdf5Lock lock;
  const Handle object(H5Oopen(at.file->id(), at.path.c_str(), H5P_DEFAULT), H5Oclose);
  if (!object) throw DataError("{}: cannot open {} ({})", where, at.path, hdf5_reason());
  return H5Iget_type(object.get());
}

Located must_locate(const Located& parent, const std::string& name, const std::string& where,
                    const Reach& reach) {
  const std::string path = (parent.path == "/" ? "" : parent.path) + "/" + name;
  auto at = locate(parent.file, path, reach);
  if (!at) throw DataError("{}: cannot open {}: it is a link to nothing", where, path);
  return std::move(*at);
}

// `path` is what the file calls it; `at` is where the links on it led.
void add_field(const Located& at, const std::string& where, const std::string& path,
               const std::string& name, const Reach& reach, FileTable& table, Split& split) {
  check_sources(at, reach);
  DatasetHeader header;
  {
    const Hdf5Lock lock;
    const Handle dataset = open_located(*at.file, at.path);
    if (!dataset) throw DataError("{}: cannot open {} ({})", where, path, hdf5_reason());
    header = read_header(dataset.get(), where, path);
  }
  if (header.extents.empty()) return;  // a scalar is no field
  Field field;
  field.name = name;
  field.path = path;
  apply_header(header, where, path, field);
  field.pieces = {{table.number(at.file->path()), at.path, 0, field.count}};
  if (split.fields.empty()) split.samples = field.count;
  if (field.count != split.samples)
    throw DataError(
        "{}: dataset {} has {} samples, but {} has {}; the fields of a split need the "
        "same number",
        where, field.path, field.count, split.fields.front().path, split.samples);
  split.fields.push_back(std::move(field));
}

Split read_group(const Located& group, const std::string& where, const std::string& name,
                 const Reach& reach, FileTable& table) {
  Split split;
  split.name = name;
  for (const std::string& child : names_in(group)) {
    const Located at = must_locate(group, child, where, reach);
    const std::string path = "/" + name + "/" + child;
    if (type_of(at, where) == H5I_DATASET) add_field(at, where, path, child, reach, table, split);
  }
  return split;
}

// The next file's samples come behind those that are known.
void append(std::vector<Split>& splits, std::vector<Split> more, const std::string& first,
            const std::string& file) {
  const auto form = [](const std::vector<Split>& all) {
    std::string text;
    for (const Split& split : all)
      for (const Field& f : split.fields)
        text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", f.path, name_of(f.dtype),
                            f.sample.text());
    return text;
  };
  if (form(splits) != form(more))
    throw DataError(
        "{} has samples of {}, while {} has {}; files that are read together must be alike, or be "
        "told apart in [[data.fields]] and [[data.splits]]",
        file, form(more), first, form(splits));
  for (std::size_t s = 0; s < splits.size(); ++s) {
    splits[s].samples += more[s].samples;
    for (std::size_t f = 0; f < splits[s].fields.size(); ++f) {
      Field& field = splits[s].fields[f];
      Field& behind = more[s].fields[f];
      field.pieces.insert(field.pieces.end(), behind.pieces.begin(), behind.pieces.end());
      drop_empty_pieces(field);
    }
  }
}

}  // namespace

std::vector<Split> find_splits(std::int32_t number, const Reach& reach, FileTable& table) {
  const auto file = open_input(table.at(number));
  const std::string where = file->path().string();
  const Located top{file, "/"};
  std::vector<Split> splits;
  Split root;
  root.name = "train";
  for (const std::string& name : names_in(top)) {
    if (name == kTokenizerDataset || name == kHashesGroup) continue;
    const Located at = must_locate(top, name, where, reach);
    const H5I_type_t type = type_of(at, where);
    if (type == H5I_DATASET) add_field(at, where, "/" + name, name, reach, table, root);
    if (type != H5I_GROUP) continue;
    Split split = read_group(at, where, name, reach, table);
    if (!split.fields.empty()) splits.push_back(std::move(split));
  }
  const bool has_train =
      std::any_of(splits.begin(), splits.end(), [](const Split& s) { return s.name == "train"; });
  if (!root.fields.empty() && !has_train) splits.push_back(std::move(root));
  const auto place = [](const Split& s) {
    return s.name == "train" ? 0 : s.name == "val" ? 1 : s.name == "test" ? 2 : 3;
  };
  std::stable_sort(splits.begin(), splits.end(),
                   [&](const Split& a, const Split& b) { return place(a) < place(b); });
  if (splits.empty())
    throw DataError("{} has no datasets of [samples, ...] in its root or in groups of its root",
                    where);
  return splits;
}

std::vector<Split> find_splits(const std::vector<std::int32_t>& files, const Reach& reach,
                               FileTable& table) {
  std::vector<Split> splits;
  for (const std::int32_t file : files) {
    std::vector<Split> found = find_splits(file, reach, table);
    if (splits.empty())
      splits = std::move(found);
    else
      append(splits, std::move(found), table.at(files.front()).string(), table.at(file).string());
  }
  return splits;
}

}  // namespace lockstep::data
