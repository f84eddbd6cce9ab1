#include "dataset_header.h"

#include <algorithm>
#include <array>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"

namespace lockstep::data {
namespace {

constexpr double kMostSampleBytes = 1 << 30;
constexpr double kBestPacking = 2000;    // deflate's own limit is 1032
constexpr double kFillBytes = 64 << 20;  // of values that were never written

constexpr std::size_t kMostUnitBytes = 256;
constexpr std::int64_t kMostBlocks = std::int64_t{1} << 40;

// A text of fixed or variable length, alone or in a list of one; "" for anything else.
std::string short_text(hid_t attribute) {
  const Handle type(H5Aget_type(attribute), H5Tclose);
  const Handle space(H5Aget_space(attribute), H5Sclose);
  if (!type || !space || H5Tget_class(type.get()) != H5T_STRING ||
      H5Sget_simple_extent_npoints(space.get()) != 1)
    return {};
  std::string text;
  if (H5Tis_variable_str(type.get()) > 0) {
    char* read = nullptr;
    if (H5Aread(attribute, type.get(), &read) < 0 || read == nullptr) return {};
    text = read;
    H5free_memory(read);
  } else {
    text.resize(H5Tget_size(type.get()));
    if (text.size() > kMostUnitBytes || H5Aread(attribute, type.get(), text.data()) < 0) return {};
    text.resize(std::min(text.size(), text.find('\0')));
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text.size() > kMostUnitBytes ? std::string() : text;
}

std::string unit_of(hid_t dataset) {
  std::string text;
  for (const char* name : {"unit", "units"}) {
    if (!text.empty() || H5Aexists(dataset, name) <= 0) continue;
    const Handle attribute(H5Aopen(dataset, name, H5P_DEFAULT), H5Aclose);
    if (attribute) text = short_text(attribute.get());
  }
  hdf5_reason();  // a unit that cannot be read is none
  return text;
}

std::int64_t blocks_of(const DatasetHeader& header, const std::string& file,
                       const std::string& path, Field& field) {
  const auto& extents = header.extents;
  const std::size_t axes = field.block.size();
  const auto refuse = [&](const std::string& why) {
    return UserError("{}: dataset {} of {} cannot be cut into blocks of {}: {}", file, path,
                     fmt::join(extents, "x"), fmt::join(field.block, "x"), why);
  };
  if (axes == 0) throw UserError("field {} has layout \"blocks\" and no block", field.name);
  if (axes > extents.size()) throw refuse("it has fewer dimensions");
  std::int64_t blocks = 1;
  for (std::size_t i = 0; i < axes; ++i) {
    if (field.block[i] < 1 || extents[i] % field.block[i] != 0)
      throw refuse(fmt::format("{} is no multiple of {}", extents[i], field.block[i]));
    const std::int64_t more = extents[i] / field.block[i];
    if (more > kMostBlocks / std::max<std::int64_t>(blocks, 1)) throw refuse("they are too many");
    blocks *= more;
  }
  for (const std::int64_t extent : field.block) field.sample = field.sample.append(extent);
  for (std::size_t i = axes; i < extents.size(); ++i)
    field.sample = field.sample.append(extents[i]);
  return blocks;
}

// Nobody should wait for so many fill values.
void check_size(const DatasetHeader& header, const std::string& file, const std::string& path,
                const Field& field) {
  double sample = static_cast<double>(size_of(field.dtype));
  for (const std::int64_t extent : field.sample) sample *= static_cast<double>(extent);
  if (sample > kMostSampleBytes)
    throw DataError("{}: dataset {} has samples of {}, more than {}; its header may be damaged",
                    file, path, bytes_text(sample), bytes_text(kMostSampleBytes));
  if (header.elsewhere) return;
  const double all = sample * static_cast<double>(field.count);
  if (field.count < 0 || !header.all_stored || all > kFillBytes + kBestPacking * header.file_bytes)
    throw DataError(
        "{}: dataset {} claims {} samples, which the file cannot hold; its header is damaged", file,
        path, field.count);
}

}  // namespace

DatasetHeader read_header(hid_t dataset, const std::string& file, const std::string& path) {
  DatasetHeader header;
  const Handle space(H5Dget_space(dataset), H5Sclose);
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const int rank = space ? H5Sget_simple_extent_ndims(space.get()) : -1;
  if (!type || rank < 0)
    throw DataError("{}: cannot read the header of dataset {} ({})", file, path, hdf5_reason());
  if (rank > Shape::kMaxRank + 1)
    throw DataError("{}: dataset {} has {} dimensions, the most are {}", file, path, rank,
                    Shape::kMaxRank + 1);
  const auto dtype = dtype_of(type.get());
  if (!dtype && rank == 0) {
    header.is_number = false;
    return header;
  }
  if (!dtype)
    throw DataError(
        "{}: dataset {} has an element type that is neither an integer nor a float of "
        "16, 32 or 64 bits; write it as one of these, or leave it out",
        file, path);
  header.dtype = *dtype;
  std::array<hsize_t, H5S_MAX_RANK> extents{}, most{}, chunk{};
  H5Sget_simple_extent_dims(space.get(), extents.data(), most.data());
  for (int i = 0; i < rank; ++i) {
    if (extents[i] > most[i])
      throw DataError("{}: dataset {} is larger than its own limit; its header is damaged", file,
                      path);
    header.extents.push_back(static_cast<std::int64_t>(extents[i]));
  }
  hsize_t file_bytes = 0;
  H5Fget_filesize(Handle(H5Iget_file_id(dataset), H5Fclose).get(), &file_bytes);
  header.file_bytes = static_cast<double>(file_bytes);
  const Handle creation(H5Dget_create_plist(dataset), H5Pclose);
  const H5D_layout_t layout = H5Pget_layout(creation.get());
  header.elsewhere = layout == H5D_VIRTUAL || H5Pget_external_count(creation.get()) > 0;
  for (int i = 0; i < H5Pget_nfilters(creation.get()); ++i) {
    unsigned flags = 0, configuration = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags,
                                               &values, nullptr, 0, nullptr, &configuration);
    if (filter == H5Z_FILTER_FLETCHER32 || filter == H5Z_FILTER_DEFLATE) header.checksummed = true;
  }
  if (layout == H5D_CHUNKED) {
    H5Pget_chunk(creation.get(), rank, chunk.data());
    header.chunk = static_cast<std::int64_t>(chunk[0]);
    // HDF5 makes no such chunks, and 1.10.8 crashes on reading them.
    for (int i = 0; i < rank; ++i)
      if (chunk[i] > most[i] || chunk[i] == 0)
        throw DataError("{}: dataset {} has chunks larger than itself; its header is damaged", file,
                        path);
  }
  if (layout == H5D_CONTIGUOUS && H5Dget_offset(dataset) != HADDR_UNDEF) {
    double all = static_cast<double>(size_of(header.dtype));
    for (const std::int64_t extent : header.extents) all *= static_cast<double>(extent);
    header.all_stored = static_cast<double>(H5Dget_storage_size(dataset)) == all;
  }
  header.unit = unit_of(dataset);
  return header;
}

Field like(const Field& field) {
  Field bare;
  bare.name = field.name;
  bare.layout = field.layout;
  bare.block = field.block;
  bare.unit = field.unit;
  return bare;
}

void apply_header(const DatasetHeader& header, const std::string& file, const std::string& path,
                  Field& field) {
  field.dtype = header.dtype;
  field.sample = {};
  const auto& extents = header.extents;
  const bool rows = field.layout == Layout::kRows;
  if (!header.is_number)
    throw DataError("{}: dataset {} is neither an integer nor a float", file, path);
  if (extents.size() > Shape::kMaxRank + (rows ? 1U : 0U))
    throw DataError("{}: dataset {} has samples of {} dimensions, the most are {}", file, path,
                    extents.size(), Shape::kMaxRank);
  if (rows && extents.empty())
    throw UserError(
        "{}: dataset {} is one number, not a list of samples; if it is one sample, give the field "
        "{} layout = \"sample\"",
        file, path, field.name);
  for (std::size_t i = rows ? 1 : 0; i < extents.size(); ++i)
    if (extents[i] == 0) throw DataError("{}: dataset {} has samples without elements", file, path);
  if (field.layout == Layout::kBlocks) {
    field.count = blocks_of(header, file, path, field);
  } else {
    for (std::size_t i = rows ? 1 : 0; i < extents.size(); ++i)
      field.sample = field.sample.append(extents[i]);
    field.count = rows ? extents[0] : 1;
  }
  // Blocks and samples are units of their own: the order may take them one by one.
  field.chunk = rows ? header.chunk : 1;
  field.checksummed = header.checksummed;
  if (field.unit.empty()) field.unit = header.unit;
  check_size(header, file, path, field);
}

}  // namespace lockstep::data
