// Dropout by Philox4x32-10, 16 counters at a time; the mask is drawn in registers and never stored.
// About 3 instructions an element with AVX-512, 8 bytes moved.
#include "ops/cpu/kernels.h"
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

// y = x scale where word >= threshold, else x 0 (so that NaN and infinity are not hidden).
// Element 4 b + w belongs to word w of the block with counter[0] + b; n <= 2^34 - 4 counter[0].
void dropout_loop(float* y, const float* x, std::int64_t n, const DropoutStream& s) {
  alignas(64) std::uint32_t order[16];
  for (std::uint32_t k = 0; k < 4; ++k) {
    for (std::uint32_t j = 0; j < 4; ++j) order[4 * k + j] = 4 * j + k;
  }
  const auto word = [&s](int i) { return splat_int(static_cast<std::int32_t>(s.counter[i])); };
  const I first = load_int(order) + word(0), c1 = word(1), c2 = word(2), c3 = word(3);
  const I threshold = splat_int(static_cast<std::int32_t>(s.threshold));
  const V scale = splat(s.scale), zero = splat(0.0f);
  I words[4];
  const auto one = [&](std::int64_t i, int w, auto lanes) {
    const V factor = select(at_least_unsigned(words[w], threshold), scale, zero);
    store(y + i, load(x + i, lanes) * factor, lanes);
  };
  std::int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    philox_64(first + splat_int(static_cast<std::int32_t>(i / 4)), c1, c2, c3, s.key, words);
    for (int w = 0; w < 4; ++w) one(i + w * kWidth, w, Whole{});
  }
  if (i == n) return;
  philox_64(first + splat_int(static_cast<std::int32_t>(i / 4)), c1, c2, c3, s.key, words);
  for_vectors(n - i,
              [&](std::int64_t j, auto lanes) { one(i + j, static_cast<int>(j / kWidth), lanes); });
}

}  // namespace
}  // namespace lockstep::ops
