// GB/s of the vector loops, on tensors that fit the first cache (4 Ki elements), a microbatch's
// activation (128 Ki) and a whole batch's (2 Mi elements, 8 MiB: the first stage of resnet20 at
// batch 128), and of the optimizer on parameters that fit no cache (16 Mi). Bytes are the ones that
// must move at least once; `copy` says what memory gives.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <vector>

#include "lockstep/device/device.h"
#include "lockstep/ops/loss.h"
#include "lockstep/ops/op.h"
#include "lockstep/ops/vector.h"

namespace {

using namespace lockstep;

// Floats on the cache lines that a program would give them.
class Floats {
 public:
  explicit Floats(std::int64_t n)
      : memory_(cpu_device().allocate(static_cast<std::size_t>(n) * sizeof(float), "benchmark")) {}
  float* data() const { return memory_.as<float>(); }

 private:
  Buffer memory_;
};

Floats numbers(std::int64_t n) {
  Floats x(n);
  for (std::int64_t i = 0; i < n; ++i) {
    x.data()[i] = static_cast<float>(i * 2654435761u % 2000) / 1000 - 1;
  }
  return x;
}

void count_bytes(benchmark::State& state, double bytes_an_element) {
  state.SetBytesProcessed(static_cast<std::int64_t>(
      static_cast<double>(state.iterations() * state.range(0)) * bytes_an_element));
}

void copy(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const Floats a = numbers(n), b = numbers(n);
  for (auto _ : state) std::memcpy(b.data(), a.data(), n * sizeof(float));
  count_bytes(state, 8);
}

void add(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const Floats a = numbers(n), b = numbers(n), dst(n);
  for (auto _ : state) ops::add(dst.data(), a.data(), b.data(), n);
  count_bytes(state, 12);
}

void sum_of_squares(benchmark::State& state) {
  const Floats x = numbers(state.range(0));
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
  const Floats p = numbers(n), m(n), v(n), g = numbers(n);
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
  Floats x, y, dy, dx, gain, bias, d_gain, d_bias;
  Floats saved, workspace;
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
        saved(static_cast<std::int64_t>(op->saved_bytes() / sizeof(float)) + 1),
        workspace(static_cast<std::int64_t>(op->workspace_bytes() / sizeof(float)) + 1) {
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

void run(benchmark::State& state, const Bench& bench, Way way) {
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
void rms_norm(benchmark::State& state) {
  const std::int64_t n = state.range(0), channels = 256;
  run(state, Bench(ops::make(cpu_device(), ops::RmsNorm{n / channels, channels}), n, channels),
      way);
}

template <Way way, ops::Activation activation>
void activate(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  run(state, Bench(ops::make(cpu_device(), ops::Activate{n, activation}), n, 1), way);
}

template <Way way>
void swiglu(benchmark::State& state) {
  const std::int64_t n = state.range(0), width = 256;
  run(state, Bench(ops::make(cpu_device(), ops::SwiGlu{n / (2 * width), width}), n, 1), way);
}

// Loss and gradient of rows of 1024 classes; 8 bytes an output.
void cross_entropy(benchmark::State& state) {
  const std::int64_t n = state.range(0), classes = 1024, rows = n / classes;
  const Floats x = numbers(n), dx(n);
  const std::vector<std::int32_t> labels(rows, 7);
  const ops::LossArgs args{rows, classes, rows, x.data(), labels.data(), nullptr, dx.data()};
  ops::LaneRecord record;
  for (auto _ : state) ops::compute_loss(ops::LossKind::kSoftmaxCrossEntropy, args, record);
  count_bytes(state, 8);
}

void dropout(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  run(state, Bench(ops::make(cpu_device(), ops::Dropout{n, 0.1f}), n, 1), Way::kForward);
}

void sizes(benchmark::internal::Benchmark* b) { b->Arg(1 << 12)->Arg(1 << 17)->Arg(1 << 21); }

BENCHMARK(copy)->Apply(sizes)->Arg(1 << 24);
BENCHMARK(add)->Apply(sizes);
BENCHMARK(sum_of_squares)->Apply(sizes);
BENCHMARK(adam)->Apply(sizes)->Arg(1 << 24);
BENCHMARK(batch_norm_relu<Way::kForward, 16>)->Apply(sizes);
BENCHMARK(batch_norm_relu<Way::kBackward, 16>)->Apply(sizes);
BENCHMARK(batch_norm_relu<Way::kForward, 64>)->Apply(sizes);
BENCHMARK(batch_norm_relu<Way::kBackward, 64>)->Apply(sizes);
BENCHMARK(layer_norm<Way::kForward>)->Apply(sizes);
BENCHMARK(layer_norm<Way::kBackward>)->Apply(sizes);
BENCHMARK(rms_norm<Way::kForward>)->Apply(sizes);
BENCHMARK(rms_norm<Way::kBackward>)->Apply(sizes);
BENCHMARK(activate<Way::kForward, ops::Activation::kGelu>)->Apply(sizes);
BENCHMARK(activate<Way::kBackward, ops::Activation::kGelu>)->Apply(sizes);
BENCHMARK(activate<Way::kForward, ops::Activation::kGeluTanh>)->Apply(sizes);
BENCHMARK(activate<Way::kBackward, ops::Activation::kGeluTanh>)->Apply(sizes);
BENCHMARK(activate<Way::kForward, ops::Activation::kSilu>)->Apply(sizes);
BENCHMARK(activate<Way::kBackward, ops::Activation::kSilu>)->Apply(sizes);
BENCHMARK(swiglu<Way::kForward>)->Apply(sizes);
BENCHMARK(swiglu<Way::kBackward>)->Apply(sizes);
BENCHMARK(cross_entropy)->Apply(sizes);
BENCHMARK(dropout)->Apply(sizes);

}  // namespace
