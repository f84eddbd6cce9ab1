#include "train/checkpoint_seal.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/hash.h"
#include "train/file_descriptor.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[16] = "lockstep sealed";

// The file: HDF5's bytes, then the ranges of numbers, then this.
struct Seal {
  std::uint64_t hdf5_bytes = 0;
  std::uint64_t ranges = 0;
  Hash128 hash;  // of the hashes of all stretches between numbers, then of the ranges
  char magic[16] = {};
};
static_assert(sizeof(Seal) == 48);

Hash128 hash_between(const FileDescriptor& file, const fs::path& path, std::uint64_t hdf5_bytes,
                     const std::vector<ByteRange>& numbers) {
  std::vector<Hash128> hashes;
  std::vector<char> bytes;
  std::uint64_t at = 0;
  const auto take = [&](std::uint64_t end) {
    bytes.resize(end - at);
    read_at(file.get(), bytes.data(), bytes.size(), at, path);
    hashes.push_back(hash_bytes(bytes.data(), bytes.size()));
  };
  for (const ByteRange& range : numbers) {
    take(range.begin);
    at = range.end;
  }
  take(hdf5_bytes);
  hashes.push_back(hash_bytes(numbers.data(), numbers.size() * sizeof(ByteRange)));
  return hash_bytes(hashes.data(), hashes.size() * sizeof(Hash128));
}

[[noreturn]] void not_whole(const fs::path& file, const char* why) {
  throw DataError("{} is not a whole checkpoint: {}; older ones may be", file.string(), why);
}

// False if the file does not end in a seal.
bool read_seal(const FileDescriptor& file, const fs::path& path, std::uint64_t size, Seal& seal) {
  if (size < sizeof(seal)) return false;
  read_at(file.get(), &seal, sizeof(seal), size - sizeof(seal), path);
  return std::memcmp(seal.magic, kMagic, sizeof(kMagic)) == 0;
}

}  // namespace

std::uint64_t seal_bytes(std::size_t ranges) { return ranges * sizeof(ByteRange) + sizeof(Seal); }

void seal_file(const fs::path& path, std::vector<ByteRange> numbers) {
  std::ranges::sort(numbers, {}, &ByteRange::begin);
  const FileDescriptor file(path, O_RDWR);
  Seal seal{fs::file_size(path), numbers.size()};
  std::memcpy(seal.magic, kMagic, sizeof(kMagic));
  seal.hash = hash_between(file, path, seal.hdf5_bytes, numbers);
  const std::size_t range_bytes = numbers.size() * sizeof(ByteRange);
  write_at(file.get(), numbers.data(), range_bytes, seal.hdf5_bytes, path);
  write_at(file.get(), &seal, sizeof(seal), seal.hdf5_bytes + range_bytes, path);
}

bool is_sealed(const fs::path& path) {
  Seal seal;
  return fs::is_regular_file(path) &&
         read_seal(FileDescriptor(path, O_RDONLY), path, fs::file_size(path), seal);
}

void check_seal(const fs::path& path) {
  const FileDescriptor file(path, O_RDONLY);
  const std::uint64_t size = fs::file_size(path);
  Seal seal;
  if (!read_seal(file, path, size, seal)) {
    not_whole(path, "its end is missing (truncated, changed, or not written by lockstep)");
  }
  if (seal.ranges > size / sizeof(ByteRange) || seal.hdf5_bytes + seal_bytes(seal.ranges) != size) {
    not_whole(path, "its size does not fit its seal");
  }
  std::vector<ByteRange> numbers(seal.ranges);
  read_at(file.get(), numbers.data(), numbers.size() * sizeof(ByteRange), seal.hdf5_bytes, path);
  std::uint64_t at = 0;
  for (const ByteRange& range : numbers) {
    if (range.begin < at || range.end < range.begin || range.end > seal.hdf5_bytes) {
      not_whole(path, "its seal is damaged");
    }
    at = range.end;
  }
  if (hash_between(file, path, seal.hdf5_bytes, numbers) != seal.hash) {
    not_whole(path, "its structure or its progress does not fit its checksum (it is damaged)");
  }
}

}  // namespace lockstep::train
