// Activations, sums, dropout, positions and SwiGLU on cuda against the cpu.
#include "lockstep/core/error.h"
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

constexpr std::int64_t kSizes[] = {1, 7, 32, 33, 1000, 1023, 4099};

// In its own place and apart, with and without d_inputs, captured.
template <class Description>
void expect_everywhere(const Description& d, OpCase c, double tolerance, const std::string& what) {
  expect_cuda_as_cpu(d, c, tolerance, what);
  c.captured = true;
  expect_agree(run_on(cuda_device(), d, c), run_on(cpu_device(), d, c), tolerance,
               what + " captured");
  c.captured = false, c.in_place = true;
  expect_cuda_as_cpu(d, c, tolerance, what + " in place");
  c.in_place = false, c.wanted.assign(c.inputs.size(), false);
  expect_cuda_as_cpu(d, c, tolerance, what + " without d_inputs");
}

TEST(CudaActivate, is_the_cpus) {
  for (std::int64_t n : kSizes) {
    for (int a = 1; a < 8; ++a) {
      const Activate d{.elements = n, .activation = static_cast<Activation>(a), .slope = 0.2f};
      OpCase c{.inputs = {uniform(n, 1, -6, 6)}, .outputs = static_cast<std::size_t>(n)};
      c.d_output = uniform(n, 2);
      expect_everywhere(d, c, 1e-6, std::string(name_of(d.activation)) + std::to_string(n));
    }
  }
  EXPECT_THROW(make(cuda_device(),
                    Activate{.elements = 1, .activation = Activation::kLeakyRelu, .slope = -1}),
               UserError);
}

TEST(CudaAdd, is_the_cpus) {
  for (std::int64_t n : kSizes) {
    for (Activation act : {Activation::kNone, Activation::kRelu}) {
      const Add d{.elements = n, .activation = act};
      OpCase c{.inputs = {uniform(n, 1), uniform(n, 2)}, .outputs = static_cast<std::size_t>(n)};
      c.d_output = uniform(n, 3);
      expect_everywhere(d, c, 0, "add " + std::to_string(n));
      c.wanted = {true, false};
      expect_cuda_as_cpu(d, c, 0, "one gradient");
    }
  }
}

TEST(CudaDropout, drops_what_the_cpu_drops) {
  for (std::int64_t n : kSizes) {
    for (float rate : {0.0f, 0.1f, 0.8f}) {
      const Dropout d{.elements = n, .rate = rate};
      OpCase c{.inputs = {uniform(n, 1)}, .outputs = static_cast<std::size_t>(n)};
      c.d_output = uniform(n, 2);
      c.random = {.seed = 9, .step = 1234567, .lane_micro = 77, .op = 4};
      expect_everywhere(d, c, 0, "dropout of " + std::to_string(n));
      c.d_output.clear(), c.mode = Mode::kEvaluate;
      expect_everywhere(d, c, 0, "evaluation of " + std::to_string(n));
    }
  }
  EXPECT_THROW(make(cuda_device(), Dropout{.elements = 1, .rate = 1}), UserError);
}

TEST(CudaSwiGlu, is_the_cpus) {
  for (auto [rows, width] : {std::pair{1, 1}, {7, 31}, {33, 32}, {70, 12}, {2, 1000}}) {
    const SwiGlu d{.rows = rows, .width = width};
    OpCase c{.inputs = {uniform(2 * rows * width, 1, -4, 4)}};
    c.outputs = rows * width, c.d_output = uniform(rows * width, 2);
    expect_everywhere(d, c, 1e-6, "swiglu " + std::to_string(rows) + " x " + std::to_string(width));
  }
}

TEST(CudaPositions, is_the_cpus) {
  struct Size {
    std::int64_t samples, tokens, width, context;
  };
  for (auto [samples, tokens, width, context] :
       {Size{1, 1, 1, 1}, {3, 5, 7, 9}, {8, 4, 16, 4}, {70, 2, 6, 5}, {130, 3, 4, 8}}) {
    const Positions d{samples, tokens, width, context};
    const std::int64_t n = samples * tokens * width;
    OpCase c{.inputs = {uniform(n, 1)}, .parameters = {uniform(context * width, 2)}};
    c.outputs = n, c.d_output = uniform(n, 3);
    const std::string what = "positions " + std::to_string(n);
    expect_everywhere(d, c, 1e-6, what);
    c.d_output.clear(), c.mode = Mode::kEvaluate, c.position = context - tokens;
    expect_cuda_as_cpu(d, c, 0, what + " later");
  }
}

}  // namespace
}  // namespace lockstep::ops
