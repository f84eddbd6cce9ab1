#include "ops/attention_rules.h"

#include <cmath>

#include "lockstep/core/error.h"

namespace lockstep::ops {

void check(const Attention& d) {
  LOCKSTEP_CHECK(d.samples > 0 && d.tokens > 0 && d.heads > 0 && d.kv_heads > 0 && d.width > 0,
                 "attention of {} samples, {} tokens, {} / {} heads of {}", d.samples, d.tokens,
                 d.heads, d.kv_heads, d.width);
  if (d.heads % d.kv_heads != 0) {
    throw UserError("attention has {} heads and {} key heads; heads must be a multiple of them",
                    d.heads, d.kv_heads);
  }
  if (d.rotary > 0 && d.width % 2 != 0) {
    throw UserError("attention has heads of width {}; rotary positions need an even one", d.width);
  }
  if (!(d.dropout >= 0 && d.dropout < 1)) {
    throw UserError("attention has dropout {}; it must be at least 0 and less than 1", d.dropout);
  }
  if (d.cache > 0) {
    LOCKSTEP_CHECK(d.causal, "a cache of keys that does not look back");
    if (d.tokens > d.cache) {
      throw UserError("attention over {} tokens has a cache of {}; make the cache larger", d.tokens,
                      d.cache);
    }
  }
}

void check_cached(const Attention& d, const Args& args) {
  LOCKSTEP_CHECK(args.position >= 0 && args.position + d.tokens <= d.cache,
                 "tokens {} + {} in a cache of {}", args.position, d.tokens, d.cache);
  LOCKSTEP_CHECK(d.dropout == 0 || args.mode != Mode::kTrain, "dropout in inference");
}

// Pairs of query and key that count, with a cache at its middle.
Cost cost_of(const Attention& d) {
  const double tokens = static_cast<double>(d.tokens), width = static_cast<double>(d.width);
  double pairs = d.causal ? tokens * (tokens + 1) / 2 : tokens * tokens;
  if (d.cache > 0) pairs += tokens * static_cast<double>(d.cache - d.tokens) / 2;
  const double heads = static_cast<double>(d.samples * d.heads);
  const std::int64_t channels = (d.heads + 2 * d.kv_heads) * d.width;
  const double in = static_cast<double>(sizeof(float) * d.samples * d.tokens * channels);
  const double out = sizeof(float) * heads * tokens * width;
  return {.forward_flops = 4 * width * pairs * heads,
          .backward_flops = 10 * width * pairs * heads,
          .forward_bytes = in + out,
          .backward_bytes = 2 * in + 2 * out};
}

std::vector<float> rotation_table(const Attention& d) {
  if (d.rotary <= 0) return {};
  const std::int64_t positions = d.cache > 0 ? d.cache : d.tokens, half = d.width / 2;
  std::vector<float> table(positions * d.width);
  for (std::int64_t p = 0; p < positions; ++p) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(d.width);
      const double angle = static_cast<double>(p) * std::pow(d.rotary, exponent);
      table[p * d.width + i] = static_cast<float>(std::cos(angle));
      table[p * d.width + half + i] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

}  // namespace lockstep::ops
