// The version 1 B-tree in which HDF5 keeps the places of a dataset's chunks, read from the file's
// bytes (HDF5 File Format Specification 3.0: III.A.1, IV.A.1, IV.A.2.i). Any bytes are safe: what
// is not as it should be ends the walk. Calls no HDF5.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "chunk_index.h"

namespace lockstep::data {

struct TreeSource {
  int descriptor = -1;
  std::uint64_t base = 0;  // of the file's addresses: the bytes of its user block
  std::uint64_t file_bytes = 0;
  std::uint64_t header = 0;  // address of the dataset's object header
};

// All chunks of the grid to `chunks`, absent ones included. Returns "" or why not; *damaged:
// because the tree is not as it should be.
std::string walk_chunk_tree(const TreeSource& source, const ChunkGrid& grid,
                            std::vector<StoredChunk>& chunks, bool* damaged = nullptr);

}  // namespace lockstep::data
