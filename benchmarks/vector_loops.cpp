// GB/s of the vector loops, on tensors that fit the first cache (4 Ki elements), a microbatch's
// activation (128 Ki) and a whole batch's (2 Mi elements, 8 MiB: the first stage of resnet20 at
// batch 128). Bytes are the ones that must move at least once.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "lockstep/device/device.h"
#include "lockstep/ops/op.h"
#include "lockstep/ops/vector.h"

namespace {

using namespace lockstep;

std::vector<float> numbers(std::int64_t n) {
  std::vector<float> x(n);
  for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(i * 2654435761u % 2000) / 1000 - 1;
  return x;
}

void count_bytes(benchmark::State& state, double bytes_an_element) {
  state.SetBytesProcessed(static_cast<std::int64_t>(
      static_cast<double>(state.iterations() * state.range(0)) * bytes_an_element));
}

void add(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  std::vector<float> a = numbers(n), b = numbers(n), dst(n);
  for (auto _ : state) ops::add(dst.data(), a.data(), b.data(), n);
  count_bytes(state, 12);
}

void sum_of_squares(benchmark::State& state) {
  const std::vector<float> x = numbers(state.range(0));
  for (auto _ : state) {
    double sum = 0;
    for (std::int64_t i = 0; i < state.range(0); i += 4096) {
      sum += ops::sum_of_squares(x.data() + i, 4096);
    }
    benchmark::DoNotOptimize(sum);
  }
  count_bytes(state, 4);
}

void adam(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  std::vector<float> p = numbers(n), m(n), v(n), g = numbers(n);
  const ops::AdamStep step{1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 0.1, 0.001, true};
  for (auto _ : state) {
    for (std::int64_t i = 0; i < n; i += 4096) {
      ops::adam(p.data() + i, m.data() + i, v.data() + i, g.data() + i, 4096, step);
    }
  }
  count_bytes(state, 28);
}

// An op with one input, memory and pointers as a program gives them.
struct Bench {
  std::unique_ptr<ops::Op> op;
  std::vector<float> x, y, dy, dx, gain, bias, d_gain, d_bias;
  std::vector<double> saved, workspace;
  const float *in[1], *parameters[2];
  float *d_in[1], *d_parameters[2];
  ops::Args args;

  Bench(std::unique_ptr<ops::Op> made, std::int64_t n, std::int64_t channels)
      : op(std::move(made)),
        x(numbers(n)),
        y(n),
        dy(numbers(n)),
        dx(n),
        gain(numbers(channels)),
        bias(numbers(channels)),
        d_gain(channels),
        d_bias(channels),
        saved(op->saved_bytes() / 8 + 1),
        workspace(op->workspace_bytes() / 8 + 1) {
    in[0] = x.data(), d_in[0] = dx.data();
    parameters[0] = gain.data(), parameters[1] = bias.data();
    d_parameters[0] = d_gain.data(), d_parameters[1] = d_bias.data();
    args = {.inputs = in,
            .output = y.data(),
            .d_output = dy.data(),
            .d_inputs = d_in,
            .parameters = parameters,
            .d_parameters = d_parameters,
            .saved = saved.data(),
            .workspace = workspace.data()};
    op->forward(args);
  }
};

enum class Way { kForward, kBackward };

void run(benchmark::State& state, Bench bench, Way way) {
  for (auto _ : state)
    way == Way::kForward ? bench.op->forward(bench.args) : bench.op->backward(bench.args);
  const ops::Cost cost = bench.op->cost();
  count_bytes(state, (way == Way::kForward ? cost.forward_bytes : cost.backward_bytes) /
                         static_cast<double>(state.range(0)));
}

template <Way way, int channels>
void batch_norm_relu(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  run(state,
      Bench(ops::make(cpu_device(), ops::BatchNorm{.rows = n / channels,
                                                   .channels = channels,
                                                   .activation = ops::Activation::kRelu}),
            n, channels),
      way);
}

template <Way way>
void layer_norm(benchmark::State& state) {
  const std::int64_t n = state.range(0), channels = 256;
  run(state, Bench(ops::make(cpu_device(), ops::LayerNorm{n / channels, channels}), n, channels),
      way);
}

template <Way way>
void gelu(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  run(state, Bench(ops::make(cpu_device(), ops::Activate{n, ops::Activation::kGelu}), n, 1), way);
}

void dropout(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  run(state, Bench(ops::make(cpu_device(), ops::Dropout{n, 0.1f}), n, 1), Way::kForward);
}

void sizes(benchmark::internal::Benchmark* b) { b->Arg(1 << 12)->Arg(1 << 17)->Arg(1 << 21); }

BENCHMARK(add)->Apply(sizes);
BENCHMARK(sum_of_squares)->Apply(sizes);
BENCHMARK(adam)->Apply(sizes);
BENCHMARK(batch_norm_relu<Way::kForward, 16>)->Apply(sizes);
BENCHMARK(batch_norm_relu<Way::kBackward, 16>)->Apply(sizes);
BENCHMARK(batch_norm_relu<Way::kForward, 64>)->Apply(sizes);
BENCHMARK(batch_norm_relu<Way::kBackward, 64>)->Apply(sizes);
BENCHMARK(layer_norm<Way::kForward>)->Apply(sizes);
BENCHMARK(layer_norm<Way::kBackward>)->Apply(sizes);
BENCHMARK(gelu<Way::kForward>)->Apply(sizes);
BENCHMARK(gelu<Way::kBackward>)->Apply(sizes);
BENCHMARK(dropout)->Apply(sizes);

}  // namespace
