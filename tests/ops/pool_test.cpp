// Pooling against loops in double: 1 to 3 dimensions, overlap, padding, global, ties, NaN.
#include <gtest/gtest.h>

#include <array>

#include "lockstep/core/error.h"
#include "ops/children.h"
#include "ops/dense_support.h"

namespace lockstep::ops {
namespace {

using Numbers = std::vector<std::int64_t>;

struct Form {
  Shape input;
  Numbers kernel, stride, padding;
};

std::vector<Form> forms() {
  return {
      {{1, 1, 1}, {1}, {1}, {0}},
      {{2, 33, 7}, {3}, {2}, {1}},
      {{3, 31, 32}, {2}, {2}, {0}},
      {{2, 28, 28, 6}, {2, 2}, {2, 2}, {0, 0}},
      {{2, 13, 11, 33}, {3, 3}, {2, 2}, {1, 1}},
      {{2, 7, 9, 31}, {3, 2}, {1, 3}, {2, 0}},
      {{3, 8, 8, 64}, {8, 8}, {1, 1}, {0, 0}},
      {{1, 17, 17, 5}, {17, 17}, {1, 1}, {0, 0}},  // more than 256 places
      {{1, 20, 19, 3}, {17, 16}, {2, 3}, {3, 5}},
      {{2, 5, 7, 6, 17}, {2, 3, 2}, {2, 2, 1}, {1, 0, 1}},
      {{1, 4, 4, 4, 1}, {4, 4, 4}, {4, 4, 4}, {0, 0, 0}},
  };
}

Pool pool(PoolKind kind, const Form& f) { return {kind, f.input, f.kernel, f.stride, f.padding}; }

// Calls f(output element, input elements of its window in order).
template <class F>
void each_window(const Form& form, F f) {
  std::array<std::int64_t, 3> in{1, 1, 1}, out{1, 1, 1}, k{1, 1, 1}, s{1, 1, 1}, p{0, 0, 0}, o, t,
      i;
  const Shape y = output_shape(pool(PoolKind::kMax, form));
  const int rank = static_cast<int>(form.kernel.size());
  for (int j = 0; j < rank; ++j) {
    const int d = 3 - rank + j;
    in[d] = form.input[j + 1], out[d] = y[j + 1];
    k[d] = form.kernel[j], s[d] = form.stride[j], p[d] = form.padding[j];
  }
  const std::int64_t channels = form.input[-1];
  std::int64_t element = 0;
  for (std::int64_t n = 0; n < form.input[0]; ++n)
    for (o[0] = 0; o[0] < out[0]; ++o[0])
      for (o[1] = 0; o[1] < out[1]; ++o[1])
        for (o[2] = 0; o[2] < out[2]; ++o[2])
          for (std::int64_t c = 0; c < channels; ++c, ++element) {
            std::vector<std::int64_t> window;
            for (t[0] = 0; t[0] < k[0]; ++t[0])
              for (t[1] = 0; t[1] < k[1]; ++t[1])
                for (t[2] = 0; t[2] < k[2]; ++t[2]) {
                  bool inside = true;
                  for (int d = 0; d < 3; ++d) {
                    i[d] = o[d] * s[d] - p[d] + t[d];
                    inside = inside && i[d] >= 0 && i[d] < in[d];
                  }
                  if (inside) {
                    window.push_back(
                        (((n * in[0] + i[0]) * in[1] + i[1]) * in[2] + i[2]) * channels + c);
                  }
                }
            f(element, window);
          }
}

OpCase case_of(const Form& f) {
  const std::int64_t out = output_shape(pool(PoolKind::kMax, f)).elements();
  OpCase c{random_values(f.input.elements(), 1), random_values(out, 2), {}};
  for (float& x : c.input) x = std::round(8 * x) / 8;  // many ties
  return c;
}

TEST(MaxPool, takes_the_first_maximum_and_sends_the_gradient_there) {
  for (const Form& f : forms()) {
    SCOPED_TRACE(f.input.text());
    const OpCase c = case_of(f);
    const Gradients got = run(*make(cpu_device(), pool(PoolKind::kMax, f)), c);
    Values y(got.output.size());
    std::vector<double> dx(c.input.size());
    each_window(f, [&](auto element, const auto& window) {
      std::int64_t best = window[0];
      for (const std::int64_t at : window) best = c.input[at] > c.input[best] ? at : best;
      y[element] = c.input[best];
      dx[best] += c.d_output[element];
    });
    EXPECT_EQ(got.output, y);
    for (std::size_t i = 0; i < dx.size(); ++i) {
      ASSERT_TRUE(std::abs(got.d_input[i] - dx[i]) <= tolerance(12, 12)) << i;
    }
  }
}

// Against a leaky relu in front of the pool. Its bits, but for the order of two roundings where
// windows overlap.
TEST(MaxPool, activates_the_maximum) {
  constexpr float kSlope = 0.3f;
  const auto leaky = [](float x) { return x <= 0 ? x * kSlope : x; };
  for (const Form& f : forms()) {
    SCOPED_TRACE(f.input.text());
    Pool p = pool(PoolKind::kMax, f);
    const OpCase c = case_of(f);
    OpCase activated = c;
    for (float& x : activated.input) x = leaky(x);
    const Gradients apart = run(*make(cpu_device(), p), activated);
    p.activation = Activation::kLeakyRelu;
    p.slope = kSlope;
    const Gradients got = run(*make(cpu_device(), p), c);
    EXPECT_EQ(got.output, apart.output);
    for (std::size_t i = 0; i < c.input.size(); ++i) {
      const float want = c.input[i] <= 0 ? apart.d_input[i] * kSlope : apart.d_input[i];
      ASSERT_TRUE(std::abs(got.d_input[i] - want) <= tolerance(12, 12)) << i;
    }
  }
  Pool steep = pool(PoolKind::kMax, forms()[0]);
  steep.activation = Activation::kLeakyRelu;
  steep.slope = -1;
  EXPECT_THROW(make(cpu_device(), steep), UserError);
}

TEST(AveragePool, leaves_padding_out_of_the_mean) {
  for (const Form& f : forms()) {
    SCOPED_TRACE(f.input.text());
    const OpCase c = case_of(f);
    const Gradients got = run(*make(cpu_device(), pool(PoolKind::kAverage, f)), c);
    std::vector<double> dx(c.input.size());
    each_window(f, [&](auto element, const auto& window) {
      double sum = 0;
      const auto count = static_cast<double>(window.size());
      for (const std::int64_t at : window) {
        sum += c.input[at];
        dx[at] += c.d_output[element] / count;
      }
      ASSERT_TRUE(std::abs(got.output[element] - sum / count) <= tolerance(1, window.size()));
    });
    for (std::size_t i = 0; i < dx.size(); ++i) {
      ASSERT_TRUE(std::abs(got.d_input[i] - dx[i]) <= tolerance(4, 12)) << i;
    }
  }
}

TEST(AveragePool, gradient_matches_finite_differences) {
  const Form f{{2, 7, 6, 3}, {3, 3}, {2, 2}, {1, 1}};
  expect_slopes(*make(cpu_device(), pool(PoolKind::kAverage, f)), case_of(f));
}

TEST(MaxPool, lets_nan_through_and_sends_it_the_gradient) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const auto op = make(cpu_device(), pool(PoolKind::kMax, {{1, 6, 1}, {3}, {3}, {0}}));
  const Gradients g = run(*op, {{1, kNan, kInf, -kInf, -kInf, -kInf}, {2, 3}, {}});
  EXPECT_TRUE(std::isnan(g.output[0]));
  EXPECT_EQ(g.output[1], -kInf);
  EXPECT_EQ(g.d_input, (Values{0, 2, 0, 3, 0, 0}));
}

TEST(MaxPool, does_without_saved_memory_in_evaluation) {
  const Form f{{2, 9, 9, 17}, {3, 3}, {2, 2}, {1, 1}};
  const OpCase c = case_of(f);
  const auto op = make(cpu_device(), pool(PoolKind::kMax, f));
  const Gradients trained = run(*op, c);
  Values y(trained.output.size());
  const float* inputs[] = {c.input.data()};
  Args args;
  args.inputs = inputs;
  args.output = y.data();
  args.mode = Mode::kEvaluate;
  op->forward(args);
  EXPECT_EQ(y, trained.output);
}

TEST(Pool, refuses_windows_of_padding_or_beyond_the_input) {
  EXPECT_THROW(output_shape(pool(PoolKind::kMax, {{1, 4, 4, 3}, {2, 2}, {2, 2}, {2, 2}})),
               UserError);
  EXPECT_THROW(output_shape(pool(PoolKind::kMax, {{1, 4, 4, 3}, {5, 5}, {1, 1}, {0, 0}})),
               UserError);
  EXPECT_THROW(output_shape(pool(PoolKind::kMax, {{1, 4, 4, 3}, {2, 2}, {0, 1}, {0, 0}})),
               UserError);
  EXPECT_EQ(output_shape(pool(PoolKind::kMax, {{1, 5, 5, 3}, {2, 2}, {2, 2}, {0, 0}})),
            (Shape{1, 2, 2, 3}));
}

TEST(Pool, is_right_on_every_instruction_set) {
  expect_to_pass_when_capped("Pool.is_right_on_every_instruction_set");
}

}  // namespace
}  // namespace lockstep::ops
