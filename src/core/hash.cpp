#include "lockstep/core/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace lockstep {

std::string Hash128::text() const { return fmt::format("{:016x}{:016x}", high, low); }

Hash128 hash_bytes(const void* data, std::size_t bytes) {
  const XXH128_hash_t h = XXH3_128bits(data, bytes);
  return {h.low64, h.high64};
}

std::uint64_t hash64(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

}  // namespace lockstep
