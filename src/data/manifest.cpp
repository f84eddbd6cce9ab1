#include <algorithm>
#include <array>
#include <set>

#include "hdf5.h"
#include "lockstep/core/error.h"
#include "lockstep/core/units.h"
#include "lockstep/data/dataset.h"
#include "manifest_text.h"
#include "statistics.h"

namespace lockstep::data {
namespace {

std::vector<std::string> names_in(hid_t group, const std::string& where) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  hsize_t start = 0;
  if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &start, add, &names) < 0)
    throw DataError("{}: cannot list its groups ({})", where, hdf5_reason());
  return names;
}

constexpr double kMostSampleBytes = 1 << 30;
constexpr double kBestPacking = 2000;    // deflate's own limit is 1032
constexpr double kFillBytes = 64 << 20;  // of values that were never written

// A damaged header can claim any size, and nobody should wait for so many fill values.
void check_size(hid_t dataset, hid_t creation, const std::string& where, const Field& field,
                double file_bytes) {
  double sample = static_cast<double>(size_of(field.dtype));
  for (const std::int64_t extent : field.sample) sample *= static_cast<double>(extent);
  if (sample > kMostSampleBytes)
    throw DataError("{}: dataset {} has samples of {}, more than {}; its header may be damaged",
                    where, field.path, bytes_text(sample), bytes_text(kMostSampleBytes));
  const H5D_layout_t layout = H5Pget_layout(creation);
  if (layout == H5D_VIRTUAL || H5Pget_external_count(creation) > 0) return;  // lies in other files
  const double all = sample * static_cast<double>(field.count);
  const bool stored = layout != H5D_CONTIGUOUS || H5Dget_offset(dataset) == HADDR_UNDEF ||
                      static_cast<double>(H5Dget_storage_size(dataset)) == all;
  if (field.count < 0 || !stored || all > kFillBytes + kBestPacking * file_bytes)
    throw DataError(
        "{}: dataset {} claims {} samples, which the file cannot hold; its header is damaged",
        where, field.path, field.count);
}

// False for a scalar dataset, which cannot be a field.
bool describe(hid_t dataset, const std::string& where, Field& field, double file_bytes) {
  const Handle space(H5Dget_space(dataset), H5Sclose);
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const int rank = space ? H5Sget_simple_extent_ndims(space.get()) : -1;
  if (!type || rank < 0)
    throw DataError("{}: cannot read the header of dataset {} ({})", where, field.path,
                    hdf5_reason());
  if (rank == 0) return false;
  if (rank > Shape::kMaxRank + 1)
    throw DataError("{}: dataset {} has {} dimensions, the most are {}", where, field.path, rank,
                    Shape::kMaxRank + 1);
  std::array<hsize_t, H5S_MAX_RANK> extents{}, most{}, chunk{};
  H5Sget_simple_extent_dims(space.get(), extents.data(), most.data());
  const auto dtype = dtype_of(type.get());
  if (!dtype)
    throw DataError(
        "{}: dataset {} has an element type that is neither an integer nor a float of "
        "16, 32 or 64 bits; write it as one of these, or leave it out",
        where, field.path);
  field.dtype = *dtype;
  field.count = static_cast<std::int64_t>(extents[0]);
  for (int i = 1; i < rank; ++i) {
    if (extents[i] == 0)
      throw DataError("{}: dataset {} has samples without elements", where, field.path);
    field.sample = field.sample.append(static_cast<std::int64_t>(extents[i]));
  }
  for (int i = 0; i < rank; ++i)
    if (extents[i] > most[i])
      throw DataError("{}: dataset {} is larger than its own limit; its header is damaged", where,
                      field.path);
  const Handle creation(H5Dget_create_plist(dataset), H5Pclose);
  if (H5Pget_layout(creation.get()) == H5D_CHUNKED) {
    H5Pget_chunk(creation.get(), rank, chunk.data());
    field.chunk = static_cast<std::int64_t>(chunk[0]);
    // HDF5 makes no such chunks, and 1.10.8 crashes on reading them.
    for (int i = 0; i < rank; ++i)
      if (chunk[i] > most[i] || chunk[i] == 0)
        throw DataError("{}: dataset {} has chunks larger than itself; its header is damaged",
                        where, field.path);
  }
  check_size(dataset, creation.get(), where, field, file_bytes);
  return true;
}

void add_field(hid_t object, const std::string& where, const std::string& path,
               const std::string& name, Split& split) {
  Field field;
  field.name = name;
  field.path = path;
  hsize_t file_bytes = 0;
  H5Fget_filesize(object, &file_bytes);
  if (!describe(object, where, field, static_cast<double>(file_bytes))) return;
  if (split.fields.empty()) split.samples = field.count;
  if (field.count != split.samples)
    throw DataError(
        "{}: dataset {} has {} samples, but {} has {}; the fields of a split need the "
        "same number",
        where, field.path, field.count, split.fields.front().path, split.samples);
  split.fields.push_back(std::move(field));
}

Handle open_object(hid_t parent, const std::string& name, const std::string& where,
                   const std::string& path) {
  Handle object(H5Oopen(parent, name.c_str(), H5P_DEFAULT), H5Oclose);
  if (!object) throw DataError("{}: cannot open {} ({})", where, path, hdf5_reason());
  return object;
}

Split read_group(hid_t group, const std::string& where, const std::string& name) {
  Split split;
  split.name = name;
  for (const std::string& child : names_in(group, where)) {
    const std::string path = "/" + name + "/" + child;
    const Handle object = open_object(group, child, where, path);
    if (H5Iget_type(object.get()) == H5I_DATASET)
      add_field(object.get(), where, path, child, split);
  }
  return split;
}

std::vector<Split> read_splits(hid_t file, const std::string& where) {
  std::vector<Split> splits;
  Split root;
  root.name = "train";
  for (const std::string& name : names_in(file, where)) {
    if (name == kTokenizerDataset) continue;
    const Handle object = open_object(file, name, where, "/" + name);
    if (H5Iget_type(object.get()) == H5I_DATASET)
      add_field(object.get(), where, "/" + name, name, root);
    if (H5Iget_type(object.get()) != H5I_GROUP) continue;
    Split split = read_group(object.get(), where, name);
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
  return splits;
}

// In a foreign file a split of one integer a row that is called "tokens" is a stream of them.
void find_streams(Manifest& manifest) {
  for (Split& split : manifest.splits) {
    Field& only = split.fields.front();
    if (split.fields.size() == 1 && only.name == "tokens" && !is_float(only.dtype) &&
        only.sample.rank() == 0)
      only.role = "tokens";
  }
}

// A field that `import` wrote must be there, in every split that it wrote.
void check_complete(const Manifest& manifest) {
  std::set<std::string> names;
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) names.insert(field.name);
  for (const Split& split : manifest.splits)
    for (const std::string& name : names)
      if (split.find(name) == nullptr)
        throw DataError("{}: dataset /{}/{} is missing; import the file again",
                        manifest.file.string(), split.name, name);
}

}  // namespace

const Field* Split::find(const std::string& field) const {
  for (const Field& f : fields)
    if (f.name == field) return &f;
  return nullptr;
}

const Split* Manifest::find(const std::string& split) const {
  for (const Split& s : splits)
    if (s.name == split) return &s;
  return nullptr;
}

Manifest read_manifest(const std::filesystem::path& path) {
  Manifest manifest;
  manifest.file = path;
  const auto file = std::make_shared<const InputFile>(path);
  {
    Hdf5Lock lock;
    manifest.text = text_attribute(file->id(), kManifestAttribute, path.string());
    manifest.splits = read_splits(file->id(), path.string());
  }
  if (manifest.splits.empty())
    throw DataError("{} has no datasets of [samples, ...] in its root or in groups of its root",
                    path.string());
  if (manifest.text.empty()) {
    find_streams(manifest);
    find_classes(file, manifest);
  } else {
    apply_own_manifest(manifest);
    check_complete(manifest);
  }
  return manifest;
}

Manifest read_manifest(comm::Communicator& communicator, const std::filesystem::path& file) {
  std::string text;
  communicator.together([&] {
    if (communicator.rank() == 0) text = to_text(read_manifest(file));
  });
  return manifest_from_text(comm::broadcast_text(communicator, std::move(text)));
}

}  // namespace lockstep::data
