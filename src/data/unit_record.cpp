#include "unit_record.h"

namespace lockstep::data {

Hash128 block_hash(const Hash128& version, const CacheEntry& entry, std::size_t block,
                   const std::byte* rows, std::size_t bytes) {
  const struct {
    Hash128 version;
    std::uint64_t index, block;
  } place{version, static_cast<std::uint64_t>(entry.index), block};
  const Hash128 of_place = hash_bytes(&place, sizeof place), of_rows = hash_bytes(rows, bytes);
  return {of_place.low ^ of_rows.low, of_place.high ^ of_rows.high};
}

std::vector<Hash128> block_hashes(const Hash128& version, const CacheEntry& entry,
                                  const std::byte* rows) {
  std::vector<Hash128> hashes(record_blocks(entry.bytes));
  for (std::size_t b = 0; b < hashes.size(); ++b) {
    const std::size_t at = b * kRecordBlock;
    hashes[b] = block_hash(version, entry, b, rows + at, std::min(kRecordBlock, entry.bytes - at));
  }
  return hashes;
}

}  // namespace lockstep::data
