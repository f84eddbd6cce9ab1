// Dropout by Philox4x32-10, 16 counters at a time; the mask is drawn in registers and never stored.
// About 3 instructions an element with AVX-512, 8 bytes moved.
#include "ops/cpu/kernels.h"
#include "ops/cpu/philox_lanes.h"

namespace lockstep::ops {
namespace {

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
