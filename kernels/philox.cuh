// Philox4x32-10 on the device: the numbers of lockstep/core/philox.h, bit for bit.
#pragma once
#include <cstdint>

#include "lockstep/core/philox.h"

namespace lockstep::kernels {

__device__ inline uint4 philox4x32(uint4 c, std::uint64_t key) {
  unsigned k0 = static_cast<unsigned>(key), k1 = static_cast<unsigned>(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned high0 = __umulhi(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
    const unsigned high1 = __umulhi(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
    c = make_uint4(high1 ^ c.y ^ k0, low1, high0 ^ c.w ^ k1, low0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// The four words of elements [4 block, 4 block + 4) of op's stream; key lies on the device and its
// own op field is not read (RandomKey::counter has the layout).
__device__ inline uint4 random_words(const RandomKey& key, std::uint32_t op, std::uint64_t block) {
  const std::uint64_t low = (block & 0xFFFFFFFFFFull) | (std::uint64_t{op} & 0xFFFFull) << 40 |
                            (std::uint64_t{key.lane_micro} & 0xFFull) << 56;
  const std::uint64_t high = ((std::uint64_t{key.lane_micro} >> 8) & 0xFFFFull) | key.step << 16;
  return philox4x32(make_uint4(static_cast<unsigned>(low), static_cast<unsigned>(low >> 32),
                               static_cast<unsigned>(high), static_cast<unsigned>(high >> 32)),
                    key.seed);
}

}  // namespace lockstep::kernels
