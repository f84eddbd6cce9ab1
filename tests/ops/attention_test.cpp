// Attention against its definition in double, on every instruction set; what must keep its bits.
#include <gtest/gtest.h>

#include <algorithm>

#define LOCKSTEP_SIMD 0
#include "lockstep/core/error.h"
#include "ops/attention_oracle.h"
#include "ops/cpu/attention_softmax.inl"
#include "ops/isas.h"
#include "ops/numbers.h"
#include "ops/run_op.h"

namespace lockstep::ops {
namespace {

std::int64_t channels(const Attention& d) { return (d.heads + 2 * d.kv_heads) * d.width; }
Floats qkv_of(const Attention& d, double size = 2) {
  return uniform(d.samples * d.tokens * channels(d), 1, -size, size);
}
std::int64_t outputs(const Attention& d) { return d.samples * d.tokens * d.heads * d.width; }
Floats gradient_of(const Attention& d) { return uniform(outputs(d), 2); }

std::string name_of(const Attention& d) {
  return testing::PrintToString(std::vector<std::int64_t>{d.samples, d.tokens, d.heads, d.kv_heads,
                                                          d.width}) +
         (d.causal ? " causal" : " full") + (d.rotary > 0 ? " rotary" : "") +
         (d.dropout > 0 ? " dropout" : "");
}

// No element is off by more than `units` roundings of the largest of them.
void expect_close(const Floats& is, const Doubles& should, double unit, double units,
                  const char* what) {
  ASSERT_EQ(is.size(), should.size());
  double largest = 0, worst = 0;
  for (double x : should) largest = std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < is.size(); ++i) {
    const double error = std::abs(is[i] - should[i]);
    if (!(error <= worst)) worst = error;  // NaN is worst
  }
  EXPECT_LE(worst, units * unit * largest) << what;
}

const RandomKey kKey = {.seed = 77, .step = 5, .lane_micro = 3, .op = 9};

double no_mask(std::int64_t) { return 1; }

template <class Mask>
void expect_oracle(const Attention& d, Mask mask, double unit = 0x1p-24, double units = 24) {
  SCOPED_TRACE(name_of(d));
  const Floats qkv = qkv_of(d), dy = gradient_of(d);
  const AttentionResult should = AttentionOracle::run(d, qkv, dy, mask);
  const auto op = make(cpu_device(), d);
  on_every_isa([&](Isa) {
    OpRun run(*op, {qkv}, {}, outputs(d));
    run.random = kKey;
    expect_close(run.forward(), should.output, unit, units, "output");
    run.backward(dy);
    expect_close(run.d_input(0), should.d_qkv, unit, units, "gradient");
  });
}

TEST(Attention, is_its_definition_for_edge_sizes_of_tokens) {
  for (const bool causal : {true, false}) {
    for (const std::int64_t tokens :
         {1, 7, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129, 257}) {
      expect_oracle({.samples = 1, .tokens = tokens, .heads = 1, .kv_heads = 1, .width = 16,
                     .causal = causal},
                    no_mask);
    }
  }
}

TEST(Attention, is_its_definition_for_edge_sizes_of_heads) {
  for (const std::int64_t width : {1, 7, 8, 15, 17, 33, 48, 64, 80, 96, 128, 144}) {
    expect_oracle({.samples = 2, .tokens = 67, .heads = 2, .kv_heads = 2, .width = width}, no_mask);
  }
}

TEST(Attention, rotates_queries_and_keys) {
  for (const std::int64_t width : {2, 8, 16, 34, 64, 80, 128}) {
    expect_oracle({.samples = 2, .tokens = 65, .heads = 2, .kv_heads = 1, .width = width,
                   .causal = width != 16, .rotary = 10000},
                  no_mask);
  }
}

TEST(Attention, shares_key_heads_among_query_heads) {
  for (const std::int64_t kv_heads : {1, 2, 3, 6}) {
    expect_oracle({.samples = 2, .tokens = 50, .heads = 6, .kv_heads = kv_heads, .width = 16},
                  no_mask);
  }
}

TEST(Attention, drops_by_the_numbers_of_the_random_key) {
  for (const bool causal : {true, false}) {
    for (const std::int64_t tokens : {5, 64, 131, 260}) {
      const Attention d{.samples = 2, .tokens = tokens, .heads = 2, .kv_heads = 1, .width = 16,
                        .causal = causal, .dropout = 0.3f};
      expect_oracle(d, [](std::int64_t element) {
        return kKey.word(element) >= double(0.3f) * 0x1p32 ? 1 / (1 - double(0.3f)) : 0.0;
      });
    }
  }
}

TEST(Attention, does_not_drop_in_evaluation) {
  Attention d{.samples = 1, .tokens = 40, .heads = 2, .kv_heads = 2, .width = 16};
  const Floats qkv = qkv_of(d);
  const auto plain = make(cpu_device(), d);
  d.dropout = 0.5f;
  const auto dropping = make(cpu_device(), d);
  OpRun a(*plain, {qkv}, {}, outputs(d)), b(*dropping, {qkv}, {}, outputs(d));
  EXPECT_EQ(a.forward(Mode::kEvaluate), b.forward(Mode::kEvaluate));
}

// Scores of hundreds: the largest one moves from block to block and the powers underflow.
TEST(Attention, is_its_definition_for_large_scores) {
  const Attention d{.samples = 1, .tokens = 300, .heads = 1, .kv_heads = 1, .width = 32};
  const Floats qkv = qkv_of(d, 12), dy = gradient_of(d);
  const AttentionResult should = AttentionOracle::run(d, qkv, dy, no_mask);
  const auto op = make(cpu_device(), d);
  on_every_isa([&](Isa) {
    OpRun run(*op, {qkv}, {}, outputs(d));
    expect_close(run.forward(), should.output, 0x1p-24, 2000, "output");  // scores' own roundings
    run.backward(dy);
    expect_close(run.d_input(0), should.d_qkv, 0x1p-24, 2000, "gradient");
  });
}

// Rows of a sequence that goes on have the bits of the same rows of a shorter one.
TEST(Attention, rows_do_not_depend_on_what_follows) {
  const Attention whole{.samples = 1, .tokens = 300, .heads = 3, .kv_heads = 1, .width = 24,
                        .rotary = 500};
  const Floats qkv = qkv_of(whole);
  on_every_isa([&](Isa) {
    const auto op = make(cpu_device(), whole);
    OpRun run(*op, {qkv}, {}, outputs(whole));
    const Floats all = run.forward();
    for (const std::int64_t tokens : {1, 5, 48, 64, 65, 128, 129, 200}) {
      Attention part = whole;
      part.tokens = tokens;
      const auto short_op = make(cpu_device(), part);
      const Floats x(qkv.begin(), qkv.begin() + tokens * channels(part));
      OpRun short_run(*short_op, {x}, {}, outputs(part));
      const Floats y = short_run.forward();
      ASSERT_TRUE(std::equal(y.begin(), y.end(), all.begin())) << tokens;
    }
  });
}

// Tokens of one sequence in pieces of these sizes, by way of the state.
Floats in_pieces(const Attention& whole, const Floats& qkv, std::int64_t cache,
                 const std::vector<std::int64_t>& pieces) {
  Floats all;
  Floats state;
  std::int64_t position = 0;
  for (const std::int64_t tokens : pieces) {
    Attention d = whole;
    d.tokens = tokens;
    d.cache = cache;
    const auto op = make(cpu_device(), d);
    if (state.empty()) state.assign(op->state_bytes() / sizeof(float), NAN);
    EXPECT_EQ(state.size() * sizeof(float), op->state_bytes());
    Floats workspace(op->workspace_bytes() / sizeof(float) + 1, NAN), y(outputs(d), NAN);
    const float* inputs[] = {qkv.data() + position * channels(d)};
    Args args;
    args.inputs = inputs;
    args.output = y.data();
    args.workspace = workspace.data();
    args.state = state.data();
    args.position = position;
    args.mode = Mode::kEvaluate;
    op->forward(args);
    all.insert(all.end(), y.begin(), y.end());
    position += tokens;
  }
  return all;
}

TEST(Attention, inference_with_a_cache_has_the_bits_of_the_whole_sequence) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const Attention whole{.samples = 1, .tokens = 150, .heads = 4, .kv_heads = 2, .width = 20,
                          .rotary = 10000, .precision = precision};
    const Floats qkv = qkv_of(whole);
    const auto op = make(cpu_device(), whole);
    on_every_isa([&](Isa) {
      OpRun run(*op, {qkv}, {}, outputs(whole));
      const Floats should = run.forward(Mode::kEvaluate);
      EXPECT_EQ(in_pieces(whole, qkv, 150, std::vector<std::int64_t>(150, 1)), should);
      EXPECT_EQ(in_pieces(whole, qkv, 400, {150}), should);
      EXPECT_EQ(in_pieces(whole, qkv, 151, {7, 1, 1, 40, 16, 63, 1, 21}), should);
    });
  }
}

TEST(Attention, slices_have_the_bits_of_the_whole) {
  const Attention d{.samples = 6, .tokens = 35, .heads = 2, .kv_heads = 1, .width = 16,
                    .dropout = 0.2f};
  const Floats qkv = qkv_of(d), dy = gradient_of(d);
  const auto op = make(cpu_device(), d);
  ASSERT_EQ(op->slices(), 6);
  on_every_isa([&](Isa) {
    OpRun run(*op, {qkv}, {}, outputs(d));
    run.random = kKey;
    const Floats y = run.forward();
    run.backward(dy);
    for (const std::int64_t count : {1, 2, 3, 6}) {
      Floats sliced(y.size(), NAN), dx(qkv.size(), NAN);
      Floats saved(op->saved_bytes() / sizeof(float), NAN);
      Floats workspace(op->workspace_bytes() / sizeof(float), NAN);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t in = i * std::int64_t(qkv.size()) / count;
        const std::int64_t out = i * std::int64_t(y.size()) / count;
        const float* inputs[] = {qkv.data() + in};
        float* d_inputs[] = {dx.data() + in};
        Args args;
        args.inputs = inputs;
        args.output = sliced.data() + out;
        args.saved = saved.data();
        args.workspace = workspace.data();
        args.random = kKey;
        op->forward_slice(args, {i, count});
        args.d_output = dy.data() + out;
        args.d_inputs = d_inputs;
        op->backward_slice(args, {i, count});
      }
      EXPECT_EQ(sliced, y) << count;
      EXPECT_EQ(dx, run.d_input(0)) << count;
    }
  });
}

// In the plain form, which rounds most often.
TEST(Attention, its_power_of_two_is_right_to_three_units) {
  alignas(64) float x[16], y[16];
  for (int i = 0; i <= 2016000; i += 16) {
    for (int k = 0; k < 16; ++k) x[k] = -static_cast<float>(i + k) / 16000;
    store(y, power_of_two(load(x)));
    for (int k = 0; k < 16 && x[k] >= -126; ++k) {
      ASSERT_NEAR(y[k] / std::exp2(double(x[k])), 1, 3 * 0x1p-24) << x[k];
    }
  }
  store(y, power_of_two(splat(0.0f)));
  EXPECT_EQ(y[0], 1);
  store(y, power_of_two(splat(-INFINITY)));
  EXPECT_EQ(y[0], 0x1p-126f);
  store(y, power_of_two(splat(NAN)));
  EXPECT_TRUE(std::isnan(y[0]));
}

// Half the significant bits of a factor: 8 of 24.
TEST(Attention, bf16_is_as_near_as_its_factors) {
  for (const std::int64_t width : {7, 16, 33, 64, 80}) {
    for (const bool causal : {true, false}) {
      expect_oracle({.samples = 1, .tokens = 131, .heads = 2, .kv_heads = 1, .width = width,
                     .causal = causal, .precision = Precision::kBf16},
                    no_mask, 0x1p-9, 6);
    }
  }
}

TEST(Attention, bf16_rounds_its_factors) {
  Attention d{.samples = 1, .tokens = 9, .heads = 1, .kv_heads = 1, .width = 16};
  const Floats qkv = qkv_of(d);
  const auto fp32 = make(cpu_device(), d);
  d.precision = Precision::kBf16;
  const auto bf16 = make(cpu_device(), d);
  on_every_isa([&](Isa) {
    OpRun a(*fp32, {qkv}, {}, outputs(d)), b(*bf16, {qkv}, {}, outputs(d));
    EXPECT_NE(a.forward(), b.forward());
  });
}

TEST(Attention, does_not_hide_nan_and_does_not_spread_it_to_earlier_tokens) {
  const Attention d{.samples = 1, .tokens = 200, .heads = 1, .kv_heads = 1, .width = 16};
  const std::int64_t bad = 150;
  for (const std::int64_t part : {0, 1, 2}) {  // query, key, value
    for (const float poison : {float(NAN), INFINITY}) {
      Floats qkv = qkv_of(d);
      qkv[bad * channels(d) + part * d.width + 3] = poison;
      const auto op = make(cpu_device(), d);
      on_every_isa([&](Isa) {
        OpRun run(*op, {qkv}, {}, outputs(d));
        const Floats y = run.forward();
        bool seen = false;
        for (std::int64_t i = 0; i < outputs(d); ++i) {
          const bool finite = std::isfinite(y[i]);
          seen |= !finite;
          // A tile of up to 8 queries multiplies values by the zeros of keys not seen.
          if (i / d.width < bad - 8) {
            ASSERT_TRUE(finite) << i;
          }
        }
        EXPECT_TRUE(seen) << part << " " << poison;
        run.backward(gradient_of(d));
        const Floats dx = run.d_input(0);
        EXPECT_FALSE(std::all_of(dx.begin(), dx.end(), [](float x) { return std::isfinite(x); }));
      });
    }
  }
}

TEST(Attention, refuses_what_it_cannot_do) {
  EXPECT_THROW(make(cpu_device(), Attention{1, 4, 3, 2, 8}), UserError);
  EXPECT_THROW(make(cpu_device(), Attention{1, 4, 1, 1, 7, true, 10000}), UserError);
  EXPECT_THROW(make(cpu_device(), Attention{1, 4, 1, 1, 8, true, 0, 1.0f}), UserError);
  EXPECT_THROW(make(cpu_device(), Attention{1, 4, 1, 1, 8, true, 0, 0, 3}), UserError);
}

TEST(Attention, counts_half_the_flops_where_causal) {
  const Attention d{.samples = 2, .tokens = 100, .heads = 3, .kv_heads = 1, .width = 8};
  const Cost cost = make(cpu_device(), d)->cost();
  EXPECT_DOUBLE_EQ(cost.forward_flops, 4.0 * 8 * 2 * 3 * 5050);
  EXPECT_DOUBLE_EQ(cost.backward_flops, 2.5 * cost.forward_flops);
}

}  // namespace
}  // namespace lockstep::ops
