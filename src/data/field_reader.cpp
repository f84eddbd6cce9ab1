#include "field_reader.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "codec.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

// The dataset behind a field: that of sequences is a stream of tokens of which the end may be cut.
Field stored_field(const Field& field, std::int64_t rows) {
  if (field.sequence == 0) return field;
  Field stored = field;
  stored.sample = {};
  stored.count = (rows - 1) / field.sequence == field.count ? rows : -1;  // -1: another stream
  return stored;
}

constexpr std::size_t kMostChunkBytes = std::size_t{1} << 30;
constexpr unsigned kMaxRank = Shape::kMaxRank + 1;

}  // namespace

FieldReader::FieldReader(std::shared_ptr<const InputFile> file, const Field& field)
    : file_(std::move(file)),
      field_(field),
      stored_(field),
      element_bytes_(size_of(field.dtype)) {
  Hdf5Lock lock;
  const std::string where = file_->path().string();
  dataset_ = Handle(H5Dopen2(file_->id(), field.path.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset_)
    throw DataError("{}: cannot open dataset {} ({})", where, field.path, hdf5_reason());
  const Handle type(H5Dget_type(dataset_.get()), H5Tclose);
  const Handle space(H5Dget_space(dataset_.get()), H5Sclose);
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  const int rank = H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr);
  stored_ = stored_field(field, static_cast<std::int64_t>(extents[0]));
  row_bytes_ = stored_.sample_bytes();
  bool same = dtype_of(type.get()) == field.dtype && rank == stored_.sample.rank() + 1 &&
              static_cast<std::int64_t>(extents[0]) == stored_.count;
  for (int i = 1; same && i < rank; ++i)
    same = static_cast<std::int64_t>(extents[i]) == stored_.sample[i - 1];
  if (!same) {
    dataset_.close();  // here: members outlive the lock when a constructor throws
    throw DataError("{}: dataset {} changed since the file was opened", where, field.path);
  }
  swap_ = is_big_endian(type.get());
  memory_type_ = memory_type(type.get());
  const Handle creation(H5Dget_create_plist(dataset_.get()), H5Pclose);
  const std::string wrong = choose_way(creation.get());
  if (wrong.empty()) return;
  dataset_.close();
  memory_type_.close();
  throw DataError("{}: cannot read dataset {}: {}", where, field.path, wrong);
}

FieldReader::~FieldReader() {
  Hdf5Lock lock;
  dataset_.close();
  memory_type_.close();
}

std::string FieldReader::choose_way(hid_t creation) {
  const H5D_layout_t layout = H5Pget_layout(creation);
  if (layout == H5D_CONTIGUOUS && H5Pget_external_count(creation) == 0) {
    const haddr_t address = H5Dget_offset(dataset_.get());
    if (address != HADDR_UNDEF) {  // undefined: never written, HDF5 knows the fill value
      address_ = address;
      way_ = Way::kPread;
    }
    return {};
  }
  if (layout != H5D_CHUNKED) return {};
  bool ours = true;  // all filters are those that are undone here
  for (int i = 0; i < H5Pget_nfilters(creation); ++i) {
    unsigned flags, configuration;
    std::size_t values = 0;
    char name[64] = {};
    const H5Z_filter_t filter = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, sizeof name - 1, name, &configuration);
    filters_.push_back(filter);
    if (filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE) continue;
    ours = false;
    if (H5Zfilter_avail(filter) > 0) continue;
    hdf5_reason();
    return fmt::format(
        "it needs the HDF5 filter {} \"{}\", which is not installed; write it again with "
        "h5repack -f GZIP=1",
        filter, name);
  }
  std::array<hsize_t, kMaxRank> chunk{};
  H5Pget_chunk(creation, kMaxRank, chunk.data());
  stored_.chunk = static_cast<std::int64_t>(chunk[0]);
  for (int i = 0; i < stored_.sample.rank(); ++i)
    ours = ours && static_cast<std::int64_t>(chunk[i + 1]) == stored_.sample[i];
  unsigned options = 0;
  H5Pget_chunk_opts(creation, &options);  // other than 0: partial chunks without filters
  const std::size_t bytes = static_cast<std::size_t>(stored_.chunk) * row_bytes_;
  // Chunks without filters are HDF5's: it copies the wanted rows and no more, and H5Dread_chunk
  // trusts their stored length in a damaged file.
  if (ours && options == 0 && !filters_.empty() && bytes > 0 && bytes <= kMostChunkBytes)
    way_ = Way::kChunks;
  return {};
}

std::int64_t FieldReader::read(std::int64_t first, std::int64_t count, std::byte* out,
                               DecodedChunk& kept) const {
  LOCKSTEP_CHECK(first >= 0 && count >= 0 && first + count <= field_.count, "rows {}+{} of {}",
                 first, count, field_.count);
  if (count == 0) return 0;
  if (field_.sequence > 0) {
    first = first * field_.sequence + field_.shift;
    count *= field_.sequence;
  }
  if (way_ == Way::kChunks) return read_chunks(first, count, out, kept);
  if (way_ == Way::kPread) {
    read_contiguous(first, count, out);
  } else {
    read_by_hdf5(first, count, out);
  }
  return count * static_cast<std::int64_t>(row_bytes_);
}

void FieldReader::read_contiguous(std::int64_t first, std::int64_t count, std::byte* out) const {
  std::size_t left = static_cast<std::size_t>(count) * row_bytes_;
  std::uint64_t at = address_ + static_cast<std::uint64_t>(first) * row_bytes_;
  std::byte* to = out;
  while (left > 0) {
    const ssize_t n = ::pread(file_->descriptor(), to, left, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(first, count, std::strerror(errno));
    if (n == 0) fail(first, count, "the file ends too early");
    to += n;
    at += static_cast<std::uint64_t>(n);
    left -= static_cast<std::size_t>(n);
  }
  if (swap_) swap_bytes({out, static_cast<std::size_t>(count) * row_bytes_}, element_bytes_);
}

std::int64_t FieldReader::read_chunks(std::int64_t first, std::int64_t count, std::byte* out,
                                      DecodedChunk& kept) const {
  std::int64_t bytes = 0;
  for (std::int64_t row = first; row < first + count;) {
    const std::int64_t chunk = row / stored_.chunk;
    const std::int64_t end = std::min((chunk + 1) * stored_.chunk, first + count);
    if (kept.index != chunk) {
      kept.index = -1;  // stays so if decoding throws
      bytes += decode(chunk, kept.rows);
      kept.index = chunk;
    }
    const std::size_t offset = static_cast<std::size_t>(row - chunk * stored_.chunk) * row_bytes_;
    std::memcpy(out + static_cast<std::size_t>(row - first) * row_bytes_, kept.rows.data() + offset,
                static_cast<std::size_t>(end - row) * row_bytes_);
    row = end;
  }
  return bytes;
}

// Raw bytes under the lock, everything else outside of it. Returns the stored bytes.
std::int64_t FieldReader::decode(std::int64_t chunk, std::vector<std::byte>& rows) const {
  const std::int64_t first = chunk * stored_.chunk;
  const std::int64_t count = std::min(stored_.chunk, stored_.count - first);
  const std::size_t chunk_bytes = static_cast<std::size_t>(stored_.chunk) * row_bytes_;
  std::vector<std::byte> raw;
  std::uint32_t skipped = 0;  // bit i: filter i was not applied to this chunk
  {
    Hdf5Lock lock;
    const std::array<hsize_t, kMaxRank> offset{static_cast<hsize_t>(first)};
    hsize_t stored = 0;
    if (H5Dget_chunk_storage_size(dataset_.get(), offset.data(), &stored) < 0) {
      hdf5_reason();  // an absent chunk is an error in some versions and size 0 in others
      stored = 0;
    }
    // No sane stream is longer than its content plus zlib's worst case.
    if (stored > chunk_bytes + chunk_bytes / 8 + 1024) stored = 0;
    raw.resize(stored);
    if (stored > 0 &&
        H5Dread_chunk(dataset_.get(), H5P_DEFAULT, offset.data(), &skipped, raw.data()) < 0)
      fail(first, count, hdf5_reason());
  }
  if (raw.empty()) {  // never written: HDF5 knows the fill value
    rows.resize(chunk_bytes);
    read_by_hdf5(first, count, rows.data());
    return 0;
  }
  const auto stored = static_cast<std::int64_t>(raw.size());
  for (std::size_t i = filters_.size(); i-- > 0;) {
    if (skipped >> i & 1) continue;
    rows.resize(chunk_bytes);
    if (filters_[i] == H5Z_FILTER_DEFLATE) {
      const char* wrong = inflate_exactly(raw, rows);
      if (*wrong != '\0') fail(first, count, wrong);
    } else {
      if (raw.size() != chunk_bytes) fail(first, count, "the chunk has a wrong size");
      unshuffle(raw, rows, element_bytes_);
    }
    raw.swap(rows);
  }
  rows.swap(raw);
  if (rows.size() != chunk_bytes) fail(first, count, "the chunk has a wrong size");
  if (swap_) swap_bytes(rows, element_bytes_);
  return stored;
}

void FieldReader::read_by_hdf5(std::int64_t first, std::int64_t count, std::byte* out) const {
  Hdf5Lock lock;
  const int rank = stored_.sample.rank() + 1;
  std::array<hsize_t, kMaxRank> start{}, extents{};
  start[0] = static_cast<hsize_t>(first);
  extents[0] = static_cast<hsize_t>(count);
  for (int i = 1; i < rank; ++i) extents[i] = static_cast<hsize_t>(stored_.sample[i - 1]);
  const Handle file_space(H5Dget_space(dataset_.get()), H5Sclose);
  const Handle memory_space(H5Screate_simple(rank, extents.data(), nullptr), H5Sclose);
  if (H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data(), nullptr, extents.data(),
                          nullptr) < 0 ||
      H5Dread(dataset_.get(), memory_type_.get(), memory_space.get(), file_space.get(), H5P_DEFAULT,
              out) < 0)
    fail(first, count, hdf5_reason());
}

void FieldReader::fail(std::int64_t first, std::int64_t count, const std::string& why) const {
  throw DataError("{}: cannot read rows {} to {} of dataset {}: {}; copy or import the file again",
                  file_->path().string(), first, first + count - 1, stored_.path, why);
}

}  // namespace lockstep::data
