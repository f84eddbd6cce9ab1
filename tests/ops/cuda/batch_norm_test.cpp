// Batch norm on cuda against the cpu.
#include "lockstep/core/error.h"
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

OpCase norm_case(const BatchNorm& d, double mean = 0.5) {
  const std::int64_t n = d.rows * d.channels;
  OpCase c;
  c.inputs = {uniform(n, 1, mean - 1, mean + 1)};
  if (d.residual) c.inputs.push_back(uniform(n, 2));
  c.parameters = {uniform(d.channels, 3, 0.5, 1.5), uniform(d.channels, 4)};
  c.running_mean = uniform(d.channels, 5), c.running_variance = uniform(d.channels, 6, 0.5, 2);
  c.outputs = n;
  c.d_output = uniform(n, 7);
  return c;
}

TEST(CudaBatchNorm, is_the_cpus) {
  for (auto [rows, channels] : shapes_to_try<std::pair<int, int>>(
           {{2, 7}, {31, 33}, {65, 16}, {300, 4}, {9, 260}}, {{65, 16}})) {
    for (Activation act : {Activation::kNone, Activation::kRelu}) {
      for (bool residual : {false, true}) {
        const BatchNorm d{
            .rows = rows, .channels = channels, .activation = act, .residual = residual};
        const std::string what = std::to_string(rows) + " x " + std::to_string(channels) +
                                 (residual ? " residual " : " ") + std::string(name_of(act));
        // Two rows are opposite multiples of one another: dx is small beside its terms.
        const double tolerance = rows == 2 ? 3e-5 : 5e-6;
        OpCase c = norm_case(d);
        expect_cuda_as_cpu(d, c, tolerance, what);
        c.in_place = true;
        expect_cuda_as_cpu(d, c, tolerance, what + " in place");
        c.in_place = false, c.wanted = {true, false};
        c.wanted.resize(c.inputs.size());
        expect_cuda_as_cpu(d, c, tolerance, what + " without d_residual");
        c.wanted[0] = false;
        expect_cuda_as_cpu(d, c, tolerance, what + " without any");
        c.wanted.clear(), c.d_output.clear(), c.mode = Mode::kEvaluate;
        OpResult cuda = run_on(cuda_device(), d, c), cpu = run_on(cpu_device(), d, c);
        cuda.lane_statistics.clear(), cpu.lane_statistics.clear();  // not written
        expect_agree(cuda, cpu, 2e-6, what + " evaluation");
      }
    }
  }
}

TEST(CudaBatchNorm, holds_where_the_mean_is_large) {
  const BatchNorm d{.rows = 257, .channels = 8, .activation = Activation::kRelu};
  expect_cuda_as_cpu(d, norm_case(d, 1e4), 5e-6, "mean 10000");
}

TEST(CudaBatchNorm, only_gives_work_to_its_stream) {
  const BatchNorm d{.rows = 40, .channels = 12, .activation = Activation::kRelu, .residual = true};
  OpCase c = norm_case(d);
  const OpResult plain = run_on(cuda_device(), d, c);
  c.captured = true;
  expect_agree(run_on(cuda_device(), d, c), plain, 0, "captured");
}

TEST(CudaBatchNorm, refuses_one_value_of_a_channel) {
  const BatchNorm d{.rows = 1, .channels = 8};
  EXPECT_THROW(run_on(cuda_device(), d, norm_case(d)), UserError);
}

}  // namespace
}  // namespace lockstep::ops
