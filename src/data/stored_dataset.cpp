#include "stored_dataset.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "bytes_text.h"
#include "chunk_filters.h"
#include "links.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

std::string plugin_advice(std::int32_t filter) {
  const char* set = std::getenv("HDF5_PLUGIN_PATH");
  const std::string folders =
      set != nullptr ? fmt::format("HDF5_PLUGIN_PATH, {}", set) : plugin_folder();
  std::string text = fmt::format("HDF5 has no plugin for it in {}", folders);
  if (const char* package = package_of(filter); *package != '\0')
    text += fmt::format("; on Debian it is in the package {}", package);
  return text + "; or write the dataset again with h5repack -f GZIP=1";
}

void read_filters(hid_t creation, StoredForm& form) {
  for (int i = 0; i < H5Pget_nfilters(creation); ++i) {
    unsigned flags, configuration;
    std::size_t values = 0;
    char name[64] = {};
    const H5Z_filter_t filter = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, sizeof name - 1, name, &configuration);
    form.filters.push_back(filter);
    if (undone_here(filter) || H5Zfilter_avail(filter) > 0) continue;
    hdf5_reason();
    const bool is_known = filter_name(filter) != fmt::format("filter {}", filter);
    const std::string called = is_known ? filter_name(filter) : name;
    form.refusal =
        fmt::format("it needs the HDF5 filter {}{}, but {}", filter,
                    called.empty() ? "" : fmt::format(" \"{}\"", called), plugin_advice(filter));
  }
  form.only_hdf5 = not_undone(form.filters);
}

void read_fill(hid_t creation, hid_t type, StoredForm& form) {
  form.fill.assign(H5Tget_size(type), std::byte{0});
  H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
  if (H5Pfill_value_defined(creation, &defined) < 0 || defined == H5D_FILL_VALUE_UNDEFINED ||
      H5Pget_fill_value(creation, type, form.fill.data()) < 0) {
    hdf5_reason();
    form.fill.assign(form.fill.size(), std::byte{0});
  }
}

// Chunks that this program decodes: their grid and their index.
void look_at_chunks(const InputFile& file, hid_t dataset, hid_t creation, StoredForm& form,
                    StoredDataset& stored) {
  std::array<hsize_t, H5S_MAX_RANK> chunk{};
  const int rank = H5Pget_chunk(creation, H5S_MAX_RANK, chunk.data());
  form.chunk.assign(chunk.begin(), chunk.begin() + std::max(rank, 0));
  if (form.chunk.size() != form.extents.size() ||
      std::any_of(form.chunk.begin(), form.chunk.end(), [](std::int64_t c) { return c <= 0; }))
    form.only_hdf5 = "its chunks have another number of dimensions";
  unsigned options = 0;
  H5Pget_chunk_opts(creation, &options);  // other than 0: partial chunks without filters
  if (options != 0) form.only_hdf5 = "its partial chunks are not filtered";
  double bytes = static_cast<double>(size_of(form.dtype));
  for (const std::int64_t extent : form.chunk) bytes *= static_cast<double>(extent);
  constexpr double kMostChunkBytes = 1 << 30;
  if (bytes > kMostChunkBytes) form.only_hdf5 = "its chunks are larger than 1 GiB";
  if (!form.only_hdf5.empty()) return;
  auto [index, source, damaged] = read_chunk_index(file, dataset, {form.extents, form.chunk});
  form.index_source = source;
  if (damaged)
    form.refusal = fmt::format(
        "the index of its chunks is damaged: {}; copy or import the file again", source);
  if (!index.empty())
    stored.index = std::make_shared<const ChunkIndex>(std::move(index));
  else if (form.filters.empty())
    form.only_hdf5 = fmt::format("its chunks have no filter, and {}", source);
}

bool lies_in(hid_t dataset, hid_t file) {
  ObjectInfo here, there;
  return H5Oget_info2(dataset, &here, H5O_INFO_BASIC) >= 0 &&
         H5Oget_info2(file, &there, H5O_INFO_BASIC) >= 0 && here.fileno == there.fileno;
}

}  // namespace

FileStamp stamp_of(const InputFile& file) {
  struct stat status = {};
  if (::fstat(file.descriptor(), &status) != 0) return {};
  return {status.st_size,
          status.st_mtim.tv_sec * std::int64_t{1000000000} + status.st_mtim.tv_nsec};
}

StoredDataset ask_hdf5(const InputFile& file, const std::string& path) {
  const Hdf5Lock lock;
  const std::string where = fmt::format("{}: dataset {}", file.path().string(), path);
  const Handle dataset = open_located(file, path);
  if (!dataset)
    throw DataError("{}: cannot open dataset {} ({})", file.path().string(), path, hdf5_reason());
  const Handle type(H5Dget_type(dataset.get()), H5Tclose);
  const Handle space(H5Dget_space(dataset.get()), H5Sclose);
  const Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose);
  const auto dtype = type ? dtype_of(type.get()) : std::nullopt;
  if (!dtype || !space || !creation)
    throw DataError("{} has no numbers that can be read ({})", where, hdf5_reason());
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  const int rank = H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  StoredForm form;
  form.dtype = *dtype;
  form.big_endian = is_big_endian(type.get());
  form.extents.assign(extents.begin(), extents.begin() + std::max(rank, 0));
  StoredDataset stored;
  stored.stamp = stamp_of(file);
  read_filters(creation.get(), form);
  read_fill(creation.get(), type.get(), form);
  const H5D_layout_t layout = H5Pget_layout(creation.get());
  const haddr_t address = layout == H5D_CONTIGUOUS ? H5Dget_offset(dataset.get()) : HADDR_UNDEF;
  hdf5_reason();
  if (layout == H5D_VIRTUAL)
    form.only_hdf5 = "it is virtual";
  else if (layout == H5D_COMPACT)
    form.only_hdf5 = "it lies in its header";
  else if (H5Pget_external_count(creation.get()) > 0)
    form.only_hdf5 = "its data lie in other files";
  else if (!lies_in(dataset.get(), file.id()))
    form.only_hdf5 = "it is a link to another file";
  else if (layout == H5D_CHUNKED)
    look_at_chunks(file, dataset.get(), creation.get(), form, stored);
  else if (address == HADDR_UNDEF)
    form.only_hdf5 = "it was never written, and HDF5 knows the fill value";
  else
    stored.address = address;
  stored.form = std::make_shared<const StoredForm>(std::move(form));
  return stored;
}

}  // namespace lockstep::data
