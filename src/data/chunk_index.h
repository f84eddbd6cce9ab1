// Where the chunks of an HDF5 dataset lie in its file, so that their bytes can be read without
// HDF5, without its lock and by ranks that never parsed the file's metadata.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hdf5.h"

namespace lockstep::data {

struct StoredChunk {
  std::uint64_t address = 0;  // in the file, in bytes; kAbsent: never written, all fill value
  std::uint32_t bytes = 0;    // as stored
  std::uint32_t skipped = 0;  // bit i: filter i was not applied
  static constexpr std::uint64_t kAbsent = ~std::uint64_t{0};
};

// By place: row-major in the grid of chunks. 12 bytes a chunk, 8 where all have the same length,
// none where they also follow each other in the file.
class ChunkIndex {
 public:
  ChunkIndex() = default;
  explicit ChunkIndex(std::span<const StoredChunk> chunks);
  bool empty() const { return count_ == 0; }
  std::int64_t size() const { return count_; }
  StoredChunk at(std::int64_t place) const;
  std::uint64_t stored_bytes() const;

  void append_to(std::string& bytes) const;
  static ChunkIndex take_from(std::string_view& bytes);

 private:
  std::int64_t count_ = 0;
  std::uint64_t first_ = 0;               // address of chunk 0, where addresses_ is empty
  std::uint32_t length_ = 0;              // of all, where bytes_ is empty
  std::vector<std::uint64_t> addresses_;  // empty: chunk i at first_ + i * length_
  std::vector<std::uint32_t> bytes_;
  std::vector<std::uint32_t> skipped_;  // empty: none of any
};

// How a dataset is cut into chunks.
struct ChunkGrid {
  std::vector<std::int64_t> extents, chunk;  // of the dataset, of a chunk
  std::int64_t along(std::size_t axis) const {
    return (extents[axis] + chunk[axis] - 1) / chunk[axis];
  }
  std::int64_t count() const;  // -1: more than kMostChunks
  static constexpr std::int64_t kMostChunks = 1 << 24;
};

struct ChunkIndexFound {
  ChunkIndex index;    // empty: there is none, and H5Dread_chunk reads
  std::string source;  // "H5Dchunk_iter", "its B-tree"; or why there is none
  bool damaged =
      false;  // there is one, and HDF5 would find chunks by it that are not the right ones
};
// In one pass over the metadata: by H5Dchunk_iter where HDF5 has it, else the file's version 1
// B-tree is walked here; then some chunks' bytes are compared with those that H5Dread_chunk gives.
// Under the lock. No index, and no error, where the file has another kind.
ChunkIndexFound read_chunk_index(const InputFile& file, hid_t dataset, const ChunkGrid& grid);

}  // namespace lockstep::data
