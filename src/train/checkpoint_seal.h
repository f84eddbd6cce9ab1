// The last bytes of a checkpoint file, behind what HDF5 knows of: a hash over everything in the
// file but the tensors' numbers (those have hashes of their own). It is checked before HDF5 sees
// the file, because HDF5 1.10 leaks and may do worse on damaged structure. Knows ranges of bytes,
// no tensors.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace lockstep::train {

struct ByteRange {
  std::uint64_t begin = 0, end = 0;
};

// Appends the seal. `numbers`: where the tensors' numbers lie, in any order, not overlapping.
void seal_file(const std::filesystem::path& file, std::vector<ByteRange> numbers);
bool is_sealed(const std::filesystem::path& file);  // its last bytes are a seal; no more is checked
// Throws DataError if the file has no seal (truncated, foreign) or does not fit it.
void check_seal(const std::filesystem::path& file);
std::uint64_t seal_bytes(std::size_t ranges);

}  // namespace lockstep::train
