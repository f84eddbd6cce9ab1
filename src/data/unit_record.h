// How a cache keeps a unit of rows: a hash of each block of them, then the rows. Each hash is mixed
// with the version of the dataset, the entry's number and the block's, so that bytes of another
// version, of another unit, damaged or half written ones never pass. Knows no place where records
// lie: the two caches fetch the bytes.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/core/hash.h"

namespace lockstep::data {

struct CacheEntry {
  std::int64_t index = 0;  // in the cache
  std::size_t bytes = 0;   // of the unit's rows
};

// Small, so that the part of a unit costs little more than itself; a hash is 0.4 % of it.
inline constexpr std::size_t kRecordBlock = 4096;
inline constexpr std::size_t kRecordLine = 64;  // records begin at multiples of it

inline std::size_t record_blocks(std::size_t bytes) {
  return (bytes + kRecordBlock - 1) / kRecordBlock;
}
inline std::size_t to_record_line(std::size_t bytes) {
  return (bytes + kRecordLine - 1) / kRecordLine * kRecordLine;
}
// Where the rows begin in a record.
inline std::size_t record_rows_at(std::size_t bytes) {
  return to_record_line(record_blocks(bytes) * sizeof(Hash128));
}
inline std::size_t record_bytes(std::size_t bytes) {
  return to_record_line(record_rows_at(bytes) + bytes);
}

Hash128 block_hash(const Hash128& version, const CacheEntry& entry, std::size_t block,
                   const std::byte* rows, std::size_t bytes);
std::vector<Hash128> block_hashes(const Hash128& version, const CacheEntry& entry,
                                  const std::byte* rows);

// Copies bytes [offset, offset + out.size()) of the unit's rows out of its record. `fetch(at,
// bytes, to)` copies bytes of the record, or returns false. False if that fails or a block's hash
// is wrong; then `out` holds anything.
template <class Fetch>
bool read_record(const Hash128& version, const CacheEntry& entry, std::size_t offset,
                 std::span<std::byte> out, const Fetch& fetch) {
  constexpr std::size_t kGroup = 64;  // blocks whose bytes are fetched at once
  Hash128 hashes[kGroup];
  std::byte edge[kRecordBlock];
  const std::size_t rows_at = record_rows_at(entry.bytes), end = offset + out.size();
  const auto block_end = [&](std::size_t block) {
    return std::min((block + 1) * kRecordBlock, entry.bytes);
  };
  const auto is_good = [&](std::size_t block, const Hash128& hash, const std::byte* rows) {
    const std::size_t bytes = block_end(block) - block * kRecordBlock;
    return block_hash(version, entry, block, rows, bytes) == hash;
  };
  for (std::size_t begin = offset; begin < end;) {
    const std::size_t first = begin / kRecordBlock;
    const std::size_t last = std::min(first + kGroup, record_blocks(end));
    if (!fetch(first * sizeof(Hash128), (last - first) * sizeof(Hash128),
               reinterpret_cast<std::byte*>(hashes)))
      return false;
    // Blocks that are wanted whole go straight to `out`.
    std::size_t block = first;
    for (; block < last && begin < end;) {
      std::size_t whole = block;
      if (begin == block * kRecordBlock)
        while (whole < last && block_end(whole) <= end) ++whole;
      if (whole > block) {
        const std::size_t bytes = block_end(whole - 1) - begin;
        std::byte* const to = out.data() + (begin - offset);
        if (!fetch(rows_at + begin, bytes, to)) return false;
        for (std::size_t b = block; b < whole; ++b)
          if (!is_good(b, hashes[b - first], to + (b - block) * kRecordBlock)) return false;
        begin += bytes;
        block = whole;
        continue;
      }
      const std::size_t at = block * kRecordBlock;
      if (!fetch(rows_at + at, block_end(block) - at, edge)) return false;
      if (!is_good(block, hashes[block - first], edge)) return false;
      const std::size_t upto = std::min(block_end(block), end);
      std::copy(edge + (begin - at), edge + (upto - at), out.data() + (begin - offset));
      begin = upto;
      ++block;
    }
  }
  return true;
}

}  // namespace lockstep::data
