#include "chunk_tree.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace lockstep::data {
namespace {

using Bytes = std::vector<unsigned char>;

constexpr std::uint64_t kUndefined = ~std::uint64_t{0};

template <class T>
T number(const unsigned char* from) {  // little-endian, as this machine
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// Bytes at an address of the file's own; false if they are not all there.
bool read_at(const TreeSource& source, std::uint64_t address, std::size_t bytes, Bytes& out) {
  if (address > source.file_bytes || source.file_bytes - address < source.base ||
      source.file_bytes - address - source.base < bytes)
    return false;
  out.resize(bytes);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t n = ::pread(source.descriptor, out.data() + done, bytes - done,
                              static_cast<off_t>(source.base + address + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<std::size_t>(n);
  }
  return true;
}

struct Block {
  std::uint64_t address, bytes;
};

// Looks for the data layout message in an object header of version 1 or 2.
class HeaderReader {
 public:
  explicit HeaderReader(const TreeSource& source) : source_(source) {}

  std::optional<Bytes> layout_message() {
    Bytes start;
    if (!read_at(source_, source_.header, 16, start)) return std::nullopt;
    if (start[0] == 1) {
      blocks_.push_back({source_.header + 16, number<std::uint32_t>(start.data() + 8)});
    } else if (std::memcmp(start.data(), "OHDR\2", 5) == 0) {
      version_ = 2;
      const unsigned flags = start[5];
      times_ordered_ = (flags & 4) != 0;
      const std::uint64_t size_at = 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
      const std::size_t width = std::size_t{1} << (flags & 3);
      Bytes size;
      if (!read_at(source_, source_.header + size_at, width, size)) return std::nullopt;
      size.resize(8, 0);
      blocks_.push_back({source_.header + size_at + width, number<std::uint64_t>(size.data())});
    } else {
      return std::nullopt;
    }
    for (std::size_t i = 0; i < blocks_.size() && i < kMostBlocks; ++i)
      if (auto found = search(blocks_[i], i > 0)) return found;
    return std::nullopt;
  }

 private:
  static constexpr std::size_t kMostBlocks = 1000;
  static constexpr std::uint64_t kMostBlockBytes = 16 << 20;
  static constexpr unsigned kLayout = 0x08, kContinuation = 0x10;

  std::optional<Bytes> search(const Block& block, bool continued) {
    if (block.bytes > kMostBlockBytes || !read_at(source_, block.address, block.bytes, bytes_))
      return std::nullopt;
    std::size_t at = 0, end = bytes_.size();
    if (version_ == 2 && continued) {  // "OCHK", messages, checksum
      if (end < 8) return std::nullopt;
      at = 4, end -= 4;
    }
    const std::size_t head = version_ == 1 ? 8 : times_ordered_ ? 6 : 4;
    while (end - at >= head) {
      const unsigned char* m = bytes_.data() + at;
      const unsigned type = version_ == 1 ? number<std::uint16_t>(m) : m[0];
      const std::size_t size = number<std::uint16_t>(m + (version_ == 1 ? 2 : 1));
      at += head;
      if (end - at < size) break;
      m = bytes_.data() + at;
      at += size;
      if (type == kLayout) return Bytes(m, m + size);
      if (type == kContinuation && size >= 16 && blocks_.size() < kMostBlocks)
        blocks_.push_back({number<std::uint64_t>(m), number<std::uint64_t>(m + 8)});
    }
    return std::nullopt;
  }

  const TreeSource& source_;
  int version_ = 1;
  bool times_ordered_ = false;  // version 2: messages carry the order of their making
  std::vector<Block> blocks_;
  Bytes bytes_;
};

// Depth first. Chunks must ascend in the grid, and levels descend, so that no bytes make it loop.
class Walk {
 public:
  Walk(const TreeSource& source, const ChunkGrid& grid, std::vector<StoredChunk>& chunks)
      : source_(source), grid_(grid), chunks_(chunks), key_(8 + 8 * (grid.extents.size() + 1)) {}

  std::string node(std::uint64_t address, int level) {
    constexpr std::size_t kHead = 24, kUsual = 64;  // entries of HDF5's default size
    if (++nodes_ > kMostNodesPerChunk * chunks_.size() + 64) return damaged(address);
    Bytes bytes;
    const std::uint64_t here = source_.file_bytes - std::min(source_.file_bytes, source_.base);
    const std::uint64_t left = here - std::min(here, address);
    const std::size_t guess = std::min<std::uint64_t>(left, kHead + kUsual * (key_ + 8) + key_);
    if (guess < kHead || !read_at(source_, address, guess, bytes)) return damaged(address);
    const std::size_t entries = number<std::uint16_t>(bytes.data() + 6);
    if (std::memcmp(bytes.data(), "TREE\1", 5) != 0 || (level >= 0 && bytes[5] != level))
      return damaged(address);
    level = bytes[5];
    const std::size_t whole = kHead + entries * (key_ + 8) + key_;
    if (whole > bytes.size() && !read_at(source_, address, whole, bytes)) return damaged(address);
    for (std::size_t i = 0; i < entries; ++i) {
      const unsigned char* key = bytes.data() + kHead + i * (key_ + 8);
      const auto child = number<std::uint64_t>(key + key_);
      std::string wrong = level > 0 ? node(child, level - 1) : leaf(key, child);
      if (!wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  static constexpr std::size_t kMostNodesPerChunk = 2;

  std::string leaf(const unsigned char* key, std::uint64_t address) {
    std::int64_t place = 0;
    for (std::size_t axis = 0; axis < grid_.extents.size(); ++axis) {
      const auto start = number<std::uint64_t>(key + 8 + 8 * axis);
      const auto chunk = static_cast<std::uint64_t>(grid_.chunk[axis]);
      if (start % chunk != 0 || start >= static_cast<std::uint64_t>(grid_.extents[axis]))
        return damaged(address);
      place = place * grid_.along(axis) + static_cast<std::int64_t>(start / chunk);
    }
    // The place in an element, which is always its first byte.
    if (number<std::uint64_t>(key + 8 + 8 * grid_.extents.size()) != 0) return damaged(address);
    if (place <= last_) return damaged(address);
    last_ = place;
    chunks_[static_cast<std::size_t>(place)] = {source_.base + address, number<std::uint32_t>(key),
                                                number<std::uint32_t>(key + 4)};
    return {};
  }

  static std::string damaged(std::uint64_t address) {
    return fmt::format("its B-tree is not in order at byte {}", address);
  }

  const TreeSource& source_;
  const ChunkGrid& grid_;
  std::vector<StoredChunk>& chunks_;
  const std::size_t key_;  // bytes
  std::int64_t last_ = -1;
  std::size_t nodes_ = 0;
};

}  // namespace

std::string walk_chunk_tree(const TreeSource& source, const ChunkGrid& grid,
                            std::vector<StoredChunk>& chunks, bool* damaged) {
  const auto layout = HeaderReader(source).layout_message();
  if (!layout) return "its object header has no layout that is known here";
  // Version 3 (HDF5 1.6 to 1.8, and later ones by default), class chunked: dimensions and one more,
  // the tree's address, the extents of a chunk.
  const std::size_t rank = grid.extents.size();
  if (layout->size() < 3 || (*layout)[0] != 3)
    return "its chunks are indexed in a form of HDF5 1.10 and later";
  if ((*layout)[1] != 2 || (*layout)[2] != rank + 1 || layout->size() < 11 + 4 * rank)
    return "its layout is not what HDF5 says";
  for (std::size_t axis = 0; axis < rank; ++axis)
    if (number<std::uint32_t>(layout->data() + 11 + 4 * axis) != grid.chunk[axis])
      return "its layout is not what HDF5 says";
  chunks.assign(static_cast<std::size_t>(grid.count()), {StoredChunk::kAbsent, 0, 0});
  const auto root = number<std::uint64_t>(layout->data() + 3);
  if (root == kUndefined) return {};
  const std::string wrong = Walk(source, grid, chunks).node(root, -1);
  if (damaged != nullptr) *damaged = !wrong.empty();
  return wrong;
}

}  // namespace lockstep::data
