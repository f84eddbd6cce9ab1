// Philox4x32-10 (Salmon et al. 2011), 16 counters at a time. Included in *.inl files only.
#pragma once
#include "ops/cpu/simd.h"

namespace lockstep::ops {
namespace {

// Words 0 to 3 of 16 Philox blocks. The blocks' numbers are ordered so that one 4 x 4 transpose
// puts the 64 words in the order of the elements: lane 4 k + j holds block 4 j + k.
LOCKSTEP_INLINE void philox_64(I c0, I c1, I c2, I c3, std::uint64_t key, I (&words)[4]) {
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  const I multiplier0 = splat_int(static_cast<std::int32_t>(0xD2511F53));
  const I multiplier1 = splat_int(static_cast<std::int32_t>(0xCD9E8D57));
  for (int round = 0; round < 10; ++round) {
    I low0, high0, low1, high1;
    multiply_wide(c0, multiplier0, low0, high0);
    multiply_wide(c2, multiplier1, low1, high1);
    c0 = high1 ^ c1 ^ splat_int(static_cast<std::int32_t>(k0));
    c1 = low1;
    c2 = high0 ^ c3 ^ splat_int(static_cast<std::int32_t>(k1));
    c3 = low0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  V w0 = from_bits(c0), w1 = from_bits(c1), w2 = from_bits(c2), w3 = from_bits(c3);
  transpose4(w0, w1, w2, w3);
  words[0] = bits(w0), words[1] = bits(w1), words[2] = bits(w2), words[3] = bits(w3);
}

}  // namespace
}  // namespace lockstep::ops
