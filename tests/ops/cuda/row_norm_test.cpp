// Layer norm and RMS norm on cuda against the cpu.
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

template <class Norm>
OpCase norm_case(const Norm& d) {
  const std::int64_t n = d.rows * d.channels;
  OpCase c;
  c.inputs = {uniform(n, 1, -1, 3)};
  c.parameters = {uniform(d.channels, 2, 0.5, 1.5)};
  if (std::is_same_v<Norm, LayerNorm>) c.parameters.push_back(uniform(d.channels, 3));
  c.outputs = n;
  c.d_output = uniform(n, 4);
  return c;
}

template <class Norm>
void expect_norms() {
  for (auto [rows, channels] : shapes_to_try<std::pair<int, int>>(
           {{1, 31}, {33, 32}, {5, 768}, {2, 1023}, {130, 12}}, {{33, 32}})) {
    const Norm d{.rows = rows, .channels = channels};
    OpCase c = norm_case(d);
    const std::string what = std::to_string(rows) + " x " + std::to_string(channels);
    expect_cuda_as_cpu(d, c, 3e-6, what);
    c.d_input_0 = uniform(rows * channels, 5);
    expect_cuda_as_cpu(d, c, 3e-6, what + " accumulated");
    c.wanted = {false}, c.d_input_0.reset();
    expect_cuda_as_cpu(d, c, 3e-6, what + " without d_input");
  }
}

TEST(CudaRowNorm, is_the_cpus) {
  expect_norms<LayerNorm>();
  expect_norms<RmsNorm>();
}

TEST(CudaRowNorm, only_gives_work_to_its_stream) {
  const LayerNorm d{.rows = 9, .channels = 40};
  OpCase c = norm_case(d);
  const OpResult plain = run_on(cuda_device(), d, c);
  c.captured = true;
  expect_agree(run_on(cuda_device(), d, c), plain, 0, "captured");
}

TEST(CudaRowNorm, evaluates_as_it_trains) {
  const RmsNorm d{.rows = 9, .channels = 40};
  OpCase c = norm_case(d);
  c.d_output.clear();
  const OpResult train = run_on(cuda_device(), d, c);
  c.mode = Mode::kEvaluate;
  expect_agree(run_on(cuda_device(), d, c), train, 0, "evaluation");
}

}  // namespace
}  // namespace lockstep::ops
