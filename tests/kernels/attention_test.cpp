// Attention's kernels, with the rotation before and after them, against the definition in double.
#include "kernels/attention.h"

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/device_array.h"
#include "kernels/rotary.h"
#include "ops/attention_oracle.h"
#include "ops/numbers.h"

namespace lockstep::kernels {
namespace {

using Description = ops::Attention;
using Floats = std::vector<float>;
using Doubles = std::vector<double>;

const RandomKey kKey = {.seed = 77, .step = 5, .lane_micro = 3, .op = 9};

std::int64_t channels(const Description& d) { return (d.heads + 2 * d.kv_heads) * d.width; }
std::int64_t outputs(const Description& d) { return d.samples * d.tokens * d.heads * d.width; }
Floats qkv_of(const Description& d) {
  return ops::uniform(d.samples * d.tokens * channels(d), 1, -2, 2);
}

std::string name_of(const Description& d) {
  return std::to_string(d.samples) + " x " + std::to_string(d.tokens) + " tokens, " +
         std::to_string(d.heads) + " / " + std::to_string(d.kv_heads) + " heads of " +
         std::to_string(d.width) + (d.causal ? " causal" : " full") +
         (d.rotary > 0 ? " rotary" : "") + (d.dropout > 0 ? " dropout" : "");
}

Floats rotation_of(const Description& d, std::int64_t positions) {
  Floats table(positions * d.width);
  for (std::int64_t p = 0; p < positions; ++p) {
    for (std::int64_t i = 0; i < d.width / 2; ++i) {
      const double angle = double(p) * std::pow(d.rotary, -2.0 * double(i) / double(d.width));
      table[p * d.width + i] = static_cast<float>(std::cos(angle));
      table[p * d.width + d.width / 2 + i] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

struct Result {
  Floats output, d_qkv;
};

// The kernels of the op in turn, forward alone without d_output; reference: the naive ones.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const Description& d, bool reference = false)
      : d_(d), reference_(reference), random_(std::vector<RandomKey>{kKey}) {}

  Result run(const Floats& qkv, const Floats& d_output) {
    const std::int64_t step = head_step<T>(d_.width), rows = d_.samples * d_.tokens;
    const std::size_t queries = rows * d_.heads * step, keys = rows * d_.kv_heads * step;
    const DeviceArray<float> table(rotation_of(d_, d_.tokens));
    const HeadsShape heads{.samples = d_.samples,
                           .tokens = d_.tokens,
                           .heads = d_.heads,
                           .kv_heads = d_.kv_heads,
                           .width = d_.width,
                           .rotation = d_.rotary > 0 ? table.data() : nullptr};
    const DeviceArray<float> from(qkv), d_from(d_output), output(outputs(d_));
    const DeviceArray<T> q(queries), k(keys), v(keys), d_heads(queries);
    const DeviceArray<float> log_sums(rows * d_.heads), dots(rows * d_.heads);
    const DeviceArray<float> d_q(queries), d_k(keys), d_v(keys), d_qkv(qkv.size());
    const AttentionGradients to{d_q.data(), d_k.data(), d_v.data()};
    const AttentionShape s = shape();
    if constexpr (std::is_same_v<T, float>) {
      if (reference_) {
        split_heads_reference(heads, from.data(), q.data(), k.data(), v.data(), nullptr);
        attention_forward_reference(s, q.data(), k.data(), v.data(), output.data(), log_sums.data(),
                                    nullptr);
        attention_dots(s, output.data(), d_from.data(), dots.data(), d_heads.data(), nullptr);
        attention_backward_reference(s, q.data(), k.data(), v.data(), d_heads.data(),
                                     log_sums.data(), dots.data(), to, nullptr);
        merge_head_gradients_reference(heads, step, d_q.data(), d_k.data(), d_v.data(),
                                       d_qkv.data(), nullptr);
        return {output.host(), d_qkv.host()};
      }
    }
    split_heads(heads, from.data(), q.data(), k.data(), v.data(), nullptr);
    attention_forward(s, q.data(), k.data(), v.data(), output.data(), log_sums.data(), nullptr);
    if (d_output.empty()) return {output.host(), {}};
    attention_dots(s, output.data(), d_from.data(), dots.data(), d_heads.data(), nullptr);
    attention_backward(s, q.data(), k.data(), v.data(), d_heads.data(), log_sums.data(),
                       dots.data(), to, nullptr);
    merge_head_gradients(heads, step, d_q.data(), d_k.data(), d_v.data(), d_qkv.data(), nullptr);
    q.host(), k.host(), v.host(), d_heads.host();  // their guards
    d_q.host(), d_k.host(), d_v.host(), log_sums.host(), dots.host();
    return {output.host(), d_qkv.host()};
  }

  // Tokens in pieces of these sizes, keys and values in a cache.
  Floats in_pieces(const Floats& qkv, std::int64_t cache, const std::vector<std::int64_t>& pieces) {
    const std::int64_t step = head_step<T>(d_.width);
    const DeviceArray<float> table(rotation_of(d_, cache));
    const std::vector<T> zeros(d_.kv_heads * cache * step, T(0.0f));
    const DeviceArray<T> k(zeros), v(zeros);
    Floats all;
    std::int64_t position = 0;
    for (const std::int64_t tokens : pieces) {
      const Floats part(qkv.begin() + position * channels(d_),
                        qkv.begin() + (position + tokens) * channels(d_));
      const DeviceArray<float> from(part), output(tokens * d_.heads * d_.width);
      const DeviceArray<T> q(d_.heads * tokens * step);
      split_heads({.samples = 1,
                   .tokens = tokens,
                   .heads = d_.heads,
                   .kv_heads = d_.kv_heads,
                   .width = d_.width,
                   .position = position,
                   .capacity = cache,
                   .rotation = d_.rotary > 0 ? table.data() : nullptr},
                  from.data(), q.data(), k.data(), v.data(), nullptr);
      AttentionShape s = shape();
      s.tokens = tokens;
      s.position = position;
      s.capacity = cache;
      attention_forward(s, q.data(), k.data(), v.data(), output.data(), nullptr, nullptr);
      const Floats piece = output.host();
      all.insert(all.end(), piece.begin(), piece.end());
      position += tokens;
    }
    k.host(), v.host();
    return all;
  }

 private:
  AttentionShape shape() const {
    AttentionShape s{.samples = d_.samples,
                     .tokens = d_.tokens,
                     .heads = d_.heads,
                     .kv_heads = d_.kv_heads,
                     .width = d_.width,
                     .causal = d_.causal};
    if (d_.dropout > 0) {
      s.random = random_.data();
      s.op = kKey.op;
      s.threshold = static_cast<std::uint32_t>(std::ceil(double{d_.dropout} * 0x1p32));
      s.keep_scale = 1 / (1 - d_.dropout);
    }
    return s;
  }

  Description d_;
  bool reference_;
  DeviceArray<RandomKey> random_;
};

void expect_close(const Floats& is, const Doubles& should, double tolerance, const char* what) {
  ASSERT_EQ(is.size(), should.size());
  double largest = 0, worst = 0;
  std::size_t where = 0;
  for (double x : should) largest = std::fmax(largest, std::fabs(x));
  for (std::size_t i = 0; i < is.size(); ++i) {
    const double error = std::fabs(is[i] - should[i]);
    if (!(error <= worst)) worst = error, where = i;  // NaN is worst
  }
  EXPECT_LE(worst, tolerance * largest) << what << " at " << where << " of " << is.size();
}

constexpr double kFp32 = 32 * 0x1p-24, kBf16 = 6 * 0x1p-9;

void expect_definition(const Description& d, bool fp32, bool bf16, bool reference = false) {
  SCOPED_TRACE(name_of(d));
  const Floats qkv = qkv_of(d), dy = ops::uniform(outputs(d), 2);
  const auto mask = [&](std::int64_t element) {
    if (d.dropout == 0) return 1.0;
    return kKey.word(element) >= double{d.dropout} * 0x1p32 ? 1 / (1 - double{d.dropout}) : 0.0;
  };
  const ops::AttentionResult should = ops::AttentionOracle::run(d, qkv, dy, mask);
  const auto expect = [&](const Result& is, double tolerance, const char* what) {
    SCOPED_TRACE(what);
    expect_close(is.output, should.output, tolerance, "output");
    expect_close(is.d_qkv, should.d_qkv, tolerance, "gradient");
  };
  if (fp32) expect(OnDevice<float>(d).run(qkv, dy), kFp32, "fp32");
  if (bf16) expect(OnDevice<__nv_bfloat16>(d).run(qkv, dy), kBf16, "bf16");
  if (reference) expect(OnDevice<float>(d, true).run(qkv, dy), kFp32, "reference");
}

const auto kEdgeTokens = shapes_to_try<std::int64_t>({1, 7, 31, 33, 64, 65, 100}, {65});

TEST(Attention, is_its_definition_for_edge_sizes_of_tokens) {
  for (const bool causal : shapes_to_try<char>({true, false}, {true})) {
    for (const std::int64_t tokens : kEdgeTokens) {
      const Description d{
          .samples = 1, .tokens = tokens, .heads = 1, .kv_heads = 1, .width = 16, .causal = causal};
      expect_definition(d, true, true, true);
    }
  }
}

TEST(Attention, is_its_definition_for_edge_sizes_of_heads) {
  for (const std::int64_t width : shapes_to_try<std::int64_t>(
           {1, 7, 8, 16, 20, 32, 33, 40, 64, 65, 80, 96, 104, 128}, {64, 128})) {
    expect_definition({.samples = 2,
                       .tokens = tiny() ? 35 : 67,
                       .heads = 2,
                       .kv_heads = 2,
                       .width = width,
                       .causal = width != 40},
                      true, true, width < 24);
  }
  for (const std::int64_t width : shapes_to_try<std::int64_t>({136, 150, 264}, {136})) {
    expect_definition({.samples = 1, .tokens = 35, .heads = 1, .kv_heads = 1, .width = width}, true,
                      false);
  }
}

TEST(Attention, rotates_queries_and_keys) {
  for (const std::int64_t width : shapes_to_try<std::int64_t>({2, 8, 16, 34, 64, 128}, {8})) {
    expect_definition({.samples = 2,
                       .tokens = 65,
                       .heads = 2,
                       .kv_heads = 1,
                       .width = width,
                       .causal = width != 16,
                       .rotary = 10000},
                      true, true, width < 16);
  }
}

TEST(Attention, shares_key_heads_among_query_heads) {
  for (const std::int64_t kv_heads : shapes_to_try<std::int64_t>({1, 2, 3, 6}, {2})) {
    expect_definition({.samples = 2, .tokens = 50, .heads = 6, .kv_heads = kv_heads, .width = 16},
                      true, true, true);
  }
}

// Tokens that are a multiple of 4 and those that are not draw their numbers differently.
TEST(Attention, drops_by_the_numbers_of_the_random_key) {
  for (const bool causal : shapes_to_try<char>({true, false}, {true})) {
    for (const std::int64_t tokens : shapes_to_try<std::int64_t>({5, 64, 100, 131, 134}, {5})) {
      expect_definition({.samples = 2,
                         .tokens = tokens,
                         .heads = 2,
                         .kv_heads = 1,
                         .width = tokens == 64 ? 128 : 16,
                         .causal = causal,
                         .dropout = 0.3f},
                        true, true, tokens < 64);
    }
  }
}

template <class T>
void expect_same_bits_with_a_cache(std::int64_t width) {
  const Description d{
      .samples = 1, .tokens = 150, .heads = 4, .kv_heads = 2, .width = width, .rotary = 10000};
  const Floats qkv = qkv_of(d);
  OnDevice<T> device(d);
  const Floats should = device.run(qkv, {}).output;
  EXPECT_TRUE(device.in_pieces(qkv, 200, {150}) == should) << width;
  EXPECT_TRUE(device.in_pieces(qkv, 151, {7, 1, 1, 40, 16, 63, 1, 21}) == should) << width;
}
TEST(Attention, inference_with_a_cache_has_the_bits_of_the_whole_sequence) {
  expect_same_bits_with_a_cache<float>(20);
  for (const std::int64_t width : shapes_to_try<std::int64_t>({20, 64, 128}, {20}))
    expect_same_bits_with_a_cache<__nv_bfloat16>(width);
}

// With 132 blocks of 128 tokens warps have 32 rows: a sample's bits must not show how many others
// there are.
TEST(Attention, rows_have_the_same_bits_in_large_and_small_blocks) {
  for (const std::int64_t width : {64, 128}) {
    Description d{.samples = 22, .tokens = 66, .heads = 6, .kv_heads = 6, .width = width};
    const bool backward = width == 64;  // wider heads have small blocks alone there
    const Floats qkv = qkv_of(d), dy = ops::uniform(backward ? outputs(d) : 0, 2);
    const Result all = OnDevice<__nv_bfloat16>(d).run(qkv, dy);
    d.samples = 1;
    const auto first = [](const Floats& x, std::int64_t n) {
      return x.empty() ? x : Floats(x.begin(), x.begin() + n);
    };
    const std::int64_t in = d.tokens * channels(d);
    const Result one = OnDevice<__nv_bfloat16>(d).run(first(qkv, in), first(dy, outputs(d)));
    EXPECT_TRUE(one.output == first(all.output, outputs(d))) << width;
    EXPECT_TRUE(one.d_qkv == first(all.d_qkv, in)) << width;
  }
}

// Scores of hundreds: the largest one moves from block to block and the powers underflow.
TEST(Attention, is_its_definition_for_large_scores) {
  const Description d{.samples = 1, .tokens = 150, .heads = 1, .kv_heads = 1, .width = 32};
  Floats qkv = ops::uniform(d.tokens * channels(d), 1, -12, 12);
  for (float& x : qkv) x = __bfloat162float(__float2bfloat16(x));
  const Floats dy = ops::uniform(outputs(d), 2);
  const auto should = ops::AttentionOracle::run(d, qkv, dy, [](std::int64_t) { return 1.0; });
  const Result fp32 = OnDevice<float>(d).run(qkv, dy);
  expect_close(fp32.output, should.output, 2000 * 0x1p-24, "output");  // scores' own roundings
  expect_close(fp32.d_qkv, should.d_qkv, 2000 * 0x1p-24, "gradient");
  const Result bf16 = OnDevice<__nv_bfloat16>(d).run(qkv, dy);
  expect_close(bf16.output, should.output, kBf16, "output");
  expect_close(bf16.d_qkv, should.d_qkv, 2 * kBf16, "gradient");
}

template <class T>
void expect_poison_to_spread() {
  const Description d{.samples = 1, .tokens = 140, .heads = 1, .kv_heads = 1, .width = 16};
  for (const float poison : {NAN, INFINITY}) {
    for (const int part : {0, 1, 2}) {
      Floats qkv = qkv_of(d);
      const std::int64_t token = 70;
      qkv[token * channels(d) + part * d.width + 3] = poison;
      const Result is = OnDevice<T>(d).run(qkv, ops::uniform(outputs(d), 2));
      for (std::int64_t i = 0; i < 64 * d.width; ++i) ASSERT_TRUE(std::isfinite(is.output[i])) << i;
      bool seen = false;
      for (std::int64_t i = 0; i < d.width; ++i)
        seen |= !std::isfinite(is.output[token * d.width + i]);
      EXPECT_TRUE(seen) << part << " " << poison;
    }
  }
}
TEST(Attention, carries_what_is_not_finite) {
  expect_poison_to_spread<float>();
  expect_poison_to_spread<__nv_bfloat16>();
}

}  // namespace
}  // namespace lockstep::kernels
