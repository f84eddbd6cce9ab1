// Attention's probabilities, a row of a block at a time: largest score, powers of two, the numbers
// of dropout. Scores come multiplied by log2(e), so that e^x is 2^x here.
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/philox_lanes.h"

namespace lockstep::ops {
namespace {

// 2^x for x <= 0 with a relative error below 1.8e-7, at least 2^-126; NaN stays. x = n + r with
// |r| <= 1/2; the polynomial is a minimax fit of our own with 2^0 = 1.
LOCKSTEP_INLINE V power_of_two(V x) {
  // Adding it leaves the nearest integer n in the low bits, as n + 127.
  constexpr float kRound = 12582912.0f + 127.0f;
  x = max(splat(-126.0f), x);
  const V shifted = x + splat(kRound);
  const V r = x - (shifted - splat(kRound));
  V p = splat(0.0013264727f);
  p = fma(p, r, splat(0.009671513f));
  p = fma(p, r, splat(0.055507336f));
  p = fma(p, r, splat(0.24022242f));
  p = fma(p, r, splat(0.693147f));
  p = fma(p, r, splat(1.0f));
  return p * from_bits(shift_left<23>(bits(shifted)));
}

// What dropout multiplies the probabilities of keys [first, first + count) by, in row `row` of a
// head's rows (head * tokens + token). factors: kKeyBlock + 2 * 64 floats. Returns their beginning.
LOCKSTEP_INLINE const float* dropout_factors(const AttentionPass& p, float* factors,
                                             std::int64_t row, std::int64_t first,
                                             std::int64_t count) {
  const std::int64_t element = p.first_element + row * p.tokens + first, skip = element % 4;
  alignas(64) std::uint32_t order[16];
  for (std::uint32_t k = 0; k < 4; ++k) {
    for (std::uint32_t j = 0; j < 4; ++j) order[4 * k + j] = 4 * j + k;
  }
  const auto splat_word = [](std::uint64_t word) {
    return splat_int(static_cast<std::int32_t>(static_cast<std::uint32_t>(word)));
  };
  const I c2 = splat_word(p.counter[2]), c3 = splat_word(p.counter[3]);
  const I threshold = splat_word(p.threshold), place = load_int(order);
  for (std::int64_t i = 0; i < skip + count; i += 64) {
    const std::uint64_t block = static_cast<std::uint64_t>(element + i) / 4;
    const I low = place + splat_word(block), high = splat_word(p.counter[1] | block >> 32);
    const I high_after_carry = splat_word(p.counter[1] | (block + 15) >> 32);
    const M whole = at_least_unsigned(low, splat_word(block));
    const I c1 = bits(select(whole, from_bits(high), from_bits(high_after_carry)));
    I words[4];
    philox_64(low, c1, c2, c3, p.key, words);
    for (int w = 0; w < 4; ++w) {
      const M kept = at_least_unsigned(words[w], threshold);
      store(factors + i + w * kWidth, select(kept, splat(p.keep_scale), splat(0.0f)));
    }
  }
  return factors + skip;
}

LOCKSTEP_INLINE V among(V v, V, Whole) { return v; }
LOCKSTEP_INLINE V among(V v, V rest, Part lanes) { return select(first_lanes(lanes.n), v, rest); }

// The largest of `count` scores and `largest`. NaN may or may not count: it comes out of the
// powers anyway.
LOCKSTEP_INLINE float largest_score(const float* scores, std::int64_t count, float largest) {
  V most = splat(-__builtin_inff());
  for_vectors(count, [&](std::int64_t i, auto lanes) {
    most = max(among(load(scores + i), most, lanes), most);
  });
  const float block = max_lane(most);
  return block > largest ? block : largest;
}

// scores = 2^(scores - largest) of the first `count`, +0 up to `end`; adds them to sums [16].
LOCKSTEP_INLINE void row_powers(float* scores, std::int64_t count, std::int64_t end, float largest,
                                float* sums) {
  const V most = splat(largest);
  V total = load(sums);
  for_vectors(count, [&](std::int64_t i, auto lanes) {
    const V power = only(power_of_two(load(scores + i) - most), lanes);
    store(scores + i, power);
    total += power;
  });
  store(sums, total);
  for (std::int64_t i = (count + kWidth - 1) / kWidth * kWidth; i < end; i += kWidth) {
    store(scores + i, splat(0.0f));
  }
}

}  // namespace
}  // namespace lockstep::ops
