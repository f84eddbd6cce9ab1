#include "chunk_index.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "bytes_text.h"
#include "chunk_tree.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

// A tree holds a key for each chunk that is there: a grid of many more is mostly absent, or a
// damaged header's.
constexpr std::int64_t kFreeChunks = 1 << 20;
constexpr std::int64_t kLeastBytesOfKey = 32;

std::vector<hsize_t> start_of(const ChunkGrid& grid, std::int64_t place) {
  std::vector<hsize_t> start(grid.extents.size());
  for (std::size_t axis = grid.extents.size(); axis-- > 0;) {
    start[axis] = static_cast<hsize_t>(place % grid.along(axis) * grid.chunk[axis]);
    place /= grid.along(axis);
  }
  return start;
}

// Whether HDF5 gives the same bytes for a chunk as the file has `shift` bytes behind its place.
bool same_bytes(const InputFile& file, hid_t dataset, const ChunkGrid& grid, std::int64_t place,
                const StoredChunk& chunk, std::uint64_t shift) {
  const std::vector<hsize_t> start = start_of(grid, place);
  hsize_t bytes = 0;
  const bool there = H5Dget_chunk_storage_size(dataset, start.data(), &bytes) >= 0 && bytes > 0;
  hdf5_reason();  // an absent chunk is an error in some versions and size 0 in others
  if (chunk.address == StoredChunk::kAbsent) return !there;
  if (!there || bytes != chunk.bytes) return false;
  std::vector<std::byte> theirs(bytes), ours(bytes);
  std::uint32_t skipped = 0;
  if (H5Dread_chunk(dataset, H5P_DEFAULT, start.data(), &skipped, theirs.data()) < 0) {
    hdf5_reason();
    return false;
  }
  return ::pread(file.descriptor(), ours.data(), ours.size(),
                 static_cast<off_t>(chunk.address + shift)) == static_cast<ssize_t>(ours.size()) &&
         skipped == chunk.skipped && theirs == ours;
}

// Whether HDF5 finds a chunk where the index has one, and none where it has none.
bool same_presence(hid_t dataset, const ChunkGrid& grid, std::int64_t place,
                   const StoredChunk& chunk) {
  hsize_t bytes = 0;
  const bool there =
      H5Dget_chunk_storage_size(dataset, start_of(grid, place).data(), &bytes) >= 0 && bytes > 0;
  hdf5_reason();
  return there == (chunk.address != StoredChunk::kAbsent);
}

// The first, the last and some between, a few MiB in all. damaged: HDF5 finds other chunks.
bool agrees(const InputFile& file, hid_t dataset, const ChunkGrid& grid,
            const std::vector<StoredChunk>& chunks, std::uint64_t shift, bool& damaged) {
  constexpr std::size_t kSamples = 7, kMostBytes = 8 << 20;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < std::min(kSamples, chunks.size()); ++i) {
    const std::size_t place =
        i == 0 ? 0 : (chunks.size() - 1) * i / (std::min(kSamples, chunks.size()) - 1);
    const StoredChunk& chunk = chunks[place];
    if (chunk.address != StoredChunk::kAbsent) bytes += chunk.bytes;
    if (i > 0 && bytes > kMostBytes) return true;
    const auto at = static_cast<std::int64_t>(place);
    if (same_bytes(file, dataset, grid, at, chunk, shift)) continue;
    damaged = !same_presence(dataset, grid, at, chunk);
    return false;
  }
  return true;
}

// No two chunks share bytes: one whose address is damaged may lead to another, whose checksum is
// right.
bool overlap(const std::vector<StoredChunk>& chunks) {
  std::vector<StoredChunk> there;
  std::uint64_t end = 0;
  bool ascend = true;
  for (const StoredChunk& chunk : chunks) {
    if (chunk.address == StoredChunk::kAbsent) continue;
    ascend = ascend && chunk.address >= end;
    end = chunk.address + chunk.bytes;
  }
  if (ascend) return false;
  for (const StoredChunk& chunk : chunks)
    if (chunk.address != StoredChunk::kAbsent) there.push_back(chunk);
  std::sort(there.begin(), there.end(),
            [](const StoredChunk& a, const StoredChunk& b) { return a.address < b.address; });
  for (std::size_t i = 1; i < there.size(); ++i)
    if (there[i].address < there[i - 1].address + there[i - 1].bytes) return true;
  return false;
}

#ifdef LOCKSTEP_HDF5_CHUNK_ITER

struct Visit {
  const ChunkGrid& grid;
  std::vector<StoredChunk>& chunks;
};

std::string iterate(hid_t dataset, const ChunkGrid& grid, std::vector<StoredChunk>& chunks) {
  chunks.assign(static_cast<std::size_t>(grid.count()), {StoredChunk::kAbsent, 0, 0});
  Visit visit{grid, chunks};
  // The types of skipped and bytes differ between versions of HDF5.
  const auto take = [](const hsize_t* start, auto skipped, haddr_t address, auto bytes,
                       void* data) -> int {
    const Visit& to = *static_cast<Visit*>(data);
    std::int64_t place = 0;
    for (std::size_t axis = 0; axis < to.grid.extents.size(); ++axis) {
      if (start[axis] >= static_cast<hsize_t>(to.grid.extents[axis])) return -1;
      place = place * to.grid.along(axis) +
              static_cast<std::int64_t>(start[axis]) / to.grid.chunk[axis];
    }
    to.chunks[static_cast<std::size_t>(place)] = {address, static_cast<std::uint32_t>(bytes),
                                                  static_cast<std::uint32_t>(skipped)};
    return 0;
  };
  if (H5Dchunk_iter(dataset, H5P_DEFAULT, take, &visit) < 0) return hdf5_reason();
  return {};
}

#endif

}  // namespace

std::int64_t ChunkGrid::count() const {
  std::int64_t all = 1;
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    const std::int64_t here = along(axis);
    if (here > kMostChunks || all * here > kMostChunks) return -1;
    all *= here;
  }
  return all;
}

ChunkIndex::ChunkIndex(std::span<const StoredChunk> chunks)
    : count_(static_cast<std::int64_t>(chunks.size())) {
  if (chunks.empty()) return;
  first_ = chunks[0].address;
  length_ = chunks[0].bytes;
  bool in_a_row = first_ != StoredChunk::kAbsent, alike = true, any_skipped = false;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    in_a_row = in_a_row && chunks[i].address == first_ + i * length_;
    alike = alike && (chunks[i].bytes == length_ || chunks[i].address == StoredChunk::kAbsent);
    any_skipped = any_skipped || chunks[i].skipped != 0;
  }
  const auto copy = [&](auto& to, const auto member) {
    to.reserve(chunks.size());
    for (const StoredChunk& chunk : chunks) to.push_back(chunk.*member);
  };
  if (!(in_a_row && alike)) copy(addresses_, &StoredChunk::address);
  if (!alike) copy(bytes_, &StoredChunk::bytes);
  if (any_skipped) copy(skipped_, &StoredChunk::skipped);
}

StoredChunk ChunkIndex::at(std::int64_t place) const {
  LOCKSTEP_CHECK(place >= 0 && place < count_, "chunk {} of {}", place, count_);
  const auto i = static_cast<std::size_t>(place);
  return {addresses_.empty() ? first_ + i * length_ : addresses_[i],
          bytes_.empty() ? length_ : bytes_[i], skipped_.empty() ? 0 : skipped_[i]};
}

std::uint64_t ChunkIndex::stored_bytes() const {
  std::uint64_t all = 0;
  for (std::int64_t i = 0; i < count_; ++i)
    if (const StoredChunk chunk = at(i); chunk.address != StoredChunk::kAbsent) all += chunk.bytes;
  return all;
}

void ChunkIndex::append_to(std::string& bytes) const {
  put(bytes, count_);
  put(bytes, first_);
  put(bytes, length_);
  put_all(bytes, addresses_);
  put_all(bytes, bytes_);
  put_all(bytes, skipped_);
}

ChunkIndex ChunkIndex::take_from(std::string_view& bytes) {
  ChunkIndex index;
  take(bytes, index.count_);
  take(bytes, index.first_);
  take(bytes, index.length_);
  take_all(bytes, index.addresses_);
  take_all(bytes, index.bytes_);
  take_all(bytes, index.skipped_);
  return index;
}

ChunkIndexFound read_chunk_index(const InputFile& file, hid_t dataset, const ChunkGrid& grid) {
  struct stat status = {};
  ::fstat(file.descriptor(), &status);
  const std::int64_t count = grid.count();
  if (count <= 0) return {{}, "it has more chunks than are indexed here"};
  if (count > kFreeChunks + status.st_size / kLeastBytesOfKey)
    return {{}, "most of its chunks are absent"};
  const Handle creation(H5Fget_create_plist(file.id()), H5Pclose);
  hsize_t user_block = 0;
  std::size_t address_bytes = 0, length_bytes = 0;
  if (H5Pget_userblock(creation.get(), &user_block) < 0 ||
      H5Pget_sizes(creation.get(), &address_bytes, &length_bytes) < 0 || address_bytes != 8 ||
      length_bytes != 8)
    return {{}, "its file has addresses of another width"};
  std::vector<StoredChunk> chunks;
  bool damaged = false;
#ifdef LOCKSTEP_HDF5_CHUNK_ITER
  if (std::string wrong = iterate(dataset, grid, chunks); !wrong.empty()) return {{}, wrong};
  if (overlap(chunks)) return {{}, "chunks of it lie in each other", true};
  // Whether addresses count from behind the user block depends on the version.
  if (agrees(file, dataset, grid, chunks, 0, damaged)) return {ChunkIndex(chunks), "H5Dchunk_iter"};
  if (user_block > 0 && agrees(file, dataset, grid, chunks, user_block, damaged)) {
    for (StoredChunk& chunk : chunks)
      if (chunk.address != StoredChunk::kAbsent) chunk.address += user_block;
    return {ChunkIndex(chunks), "H5Dchunk_iter"};
  }
#else
  ObjectInfo about;
  if (H5Oget_info2(dataset, &about, H5O_INFO_BASIC) < 0) return {{}, hdf5_reason()};
  const TreeSource source{file.descriptor(), user_block, static_cast<std::uint64_t>(status.st_size),
                          about.addr};
  if (std::string wrong = walk_chunk_tree(source, grid, chunks, &damaged); !wrong.empty())
    return {{}, wrong, damaged};
  if (overlap(chunks)) return {{}, "chunks of it lie in each other", true};
  if (agrees(file, dataset, grid, chunks, 0, damaged)) return {ChunkIndex(chunks), "its B-tree"};
#endif
  return {{}, "HDF5 reads other bytes than its index says", damaged};
}

}  // namespace lockstep::data
