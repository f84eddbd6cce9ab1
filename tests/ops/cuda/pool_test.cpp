// Pooling on a cuda device against the cpu device. Maxima and sums in window order are the same
// bits; means of large windows are summed in eight parts.
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

using Numbers = std::vector<std::int64_t>;
struct Form {
  Shape input;
  Numbers kernel, stride, padding;
};
std::vector<Form> forms() {
  const std::vector<Form> all = {
      {{1, 1, 1}, {1}, {1}, {0}},
      {{2, 33, 7}, {3}, {2}, {1}},
      {{3, 31, 32}, {2}, {2}, {0}},
      {{2, 13, 11, 33}, {3, 3}, {2, 2}, {1, 1}},
      {{2, 7, 9, 31}, {3, 2}, {1, 3}, {2, 0}},
      {{2, 6, 6, 64}, {3, 3}, {1, 1}, {1, 1}},
      {{3, 8, 8, 40}, {8, 8}, {1, 1}, {0, 0}},     // global
      {{1, 17, 17, 5}, {17, 17}, {1, 1}, {0, 0}},  // more than 256 places
      {{2, 5, 7, 6, 17}, {2, 3, 2}, {2, 2, 1}, {1, 0, 1}},
  };
  return shapes_to_try(all, {all[1], all[6]});
}

// Few values, so that maxima tie.
Floats coarse(std::int64_t n, unsigned seed) {
  Floats x = uniform(n, seed, -4, 4);
  for (float& value : x) value = std::round(value * 4) / 4;
  return x;
}
OpCase case_of(const Pool& p) {
  OpCase c;
  c.inputs = {coarse(p.input.elements(), 1)};
  c.outputs = output_shape(p).elements();
  c.d_output = uniform(static_cast<std::int64_t>(c.outputs), 2);
  return c;
}

TEST(CudaPool, max_agrees_with_the_cpu) {
  for (const Form& f : forms()) {
    for (const Activation activation : {Activation::kNone, Activation::kLeakyRelu}) {
      Pool p{PoolKind::kMax, f.input, f.kernel, f.stride, f.padding, activation, 0.25f};
      OpCase c = case_of(p);
      expect_cuda_as_cpu(p, c, 0, f.input.text());
      c.inputs[0][0] = NAN;
      expect_cuda_as_cpu(p, c, 0, f.input.text() + " with NaN");
      c.captured = true;
      expect_cuda_as_cpu(p, c, 0, f.input.text() + " captured");
    }
  }
}

TEST(CudaPool, average_agrees_with_the_cpu) {
  for (const Form& f : forms()) {
    const Pool p{PoolKind::kAverage, f.input, f.kernel, f.stride, f.padding};
    std::int64_t window = 1;
    for (const std::int64_t k : f.kernel) window *= k;
    OpCase c = case_of(p);
    expect_cuda_as_cpu(p, c, window < 32 ? 0 : 1e-6, f.input.text());
    c.inputs[0][0] = INFINITY;
    expect_cuda_as_cpu(p, c, window < 32 ? 0 : 1e-6, f.input.text() + " with infinity");
  }
}

TEST(CudaPool, evaluates_without_saved_memory_and_leaves_out_what_nobody_needs) {
  const Pool p{PoolKind::kMax, {2, 9, 9, 17}, {3, 3}, {2, 2}, {1, 1}};
  OpCase c = case_of(p);
  c.wanted = {false};
  expect_cuda_as_cpu(p, c, 0, "gradient not wanted");
  c.d_output.clear();
  c.mode = Mode::kEvaluate;
  expect_cuda_as_cpu(p, c, 0, "evaluation");
}

TEST(CudaPool, costs_and_keeps_what_the_cpu_does) {
  const Pool p{PoolKind::kMax, {2, 9, 9, 17}, {3, 3}, {2, 2}, {1, 1}};
  const auto here = make(cpu_device(), p), there = make(cuda_device(), p);
  EXPECT_EQ(there->kind(), here->kind());
  EXPECT_EQ(there->saved_bytes(), here->saved_bytes());
  EXPECT_EQ(there->cost().backward_bytes, here->cost().backward_bytes);
}

}  // namespace
}  // namespace lockstep::ops
