// An op timed alone on one core: forward, backward and packing in GFLOP/s and percent of the
// measured FMA peak. Backward is data and weight gradient, with the bias gradient where there is
// one. Knows no particular op.
#pragma once
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/core/isa.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {
inline double peak() {
  static const double measured = measure_fma_peak();
  return measured;
}

// An op with memory for one call.
class Bench {
 public:
  Bench(std::unique_ptr<Op> op, std::int64_t input, std::int64_t output,
        const std::vector<std::int64_t>& parameters)
      : op_(std::move(op)) {
    args_.inputs = pointer_to(input);
    args_.output = floats(output);
    args_.d_output = floats(output);
    d_inputs_.push_back(floats(input));
    for (const std::int64_t n : parameters) {
      parameters_.push_back(floats(n));
      d_parameters_.push_back(floats(n));
    }
    args_.d_inputs = d_inputs_.data();
    args_.parameters = parameters_.data();
    args_.d_parameters = d_parameters_.data();
    args_.saved = bytes(op_->saved_bytes());
    args_.workspace = bytes(op_->workspace_bytes());
    packed_ = bytes(op_->packed_bytes());
    args_.packed = packed_;
    pack();
  }
  void forward() const { op_->forward(args_); }
  void backward() const { op_->backward(args_); }
  void pack() const { op_->pack(parameters_.data(), packed_, nullptr); }
  Cost cost() const { return op_->cost(); }
  double packed_bytes() const { return static_cast<double>(op_->packed_bytes()); }

 private:
  void* bytes(std::size_t n) {
    buffers_.push_back(cpu_device().allocate(n, "benchmark"));
    return buffers_.back().data();
  }
  float* floats(std::int64_t n) {
    auto* x = static_cast<float*>(bytes(n * sizeof(float)));
    for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 13) * 0.1f - 0.6f;
    return x;
  }
  const float* const* pointer_to(std::int64_t n) {
    inputs_.push_back(floats(n));
    return inputs_.data();
  }

  std::unique_ptr<Op> op_;
  Args args_;
  std::vector<Buffer> buffers_;
  std::vector<const float*> inputs_, parameters_;
  std::vector<float*> d_inputs_, d_parameters_;
  void* packed_ = nullptr;
};

using MakeBench = std::function<std::unique_ptr<Bench>()>;

// Time of this process, so that a busy machine does not spoil the figures.
inline double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

inline void time_flops(benchmark::State& state, const MakeBench& make_bench, bool forward) {
  const auto bench = make_bench();
  const double start = cpu_seconds();
  for ([[maybe_unused]] auto _ : state) forward ? bench->forward() : bench->backward();
  const Cost cost = bench->cost();
  const double rate = static_cast<double>(state.iterations()) *
                      (forward ? cost.forward_flops : cost.backward_flops) /
                      (cpu_seconds() - start);
  state.counters["GFLOP/s"] = rate * 1e-9;
  state.counters["% of peak"] = rate / peak() * 100;
}

inline void time_pack(benchmark::State& state, const MakeBench& make_bench) {
  const auto bench = make_bench();
  const double start = cpu_seconds();
  for ([[maybe_unused]] auto _ : state) bench->pack();
  state.counters["GB/s written"] = 1e-9 * bench->packed_bytes() *
                                   static_cast<double>(state.iterations()) /
                                   (cpu_seconds() - start);
}

inline void add(const std::string& name, const MakeBench& make_bench) {
  constexpr auto kUnit = benchmark::kMicrosecond;
  constexpr double kSeconds = 0.1;
  benchmark::RegisterBenchmark((name + "/forward").c_str(), time_flops, make_bench, true)
      ->Unit(kUnit)
      ->MinTime(kSeconds);
  benchmark::RegisterBenchmark((name + "/backward").c_str(), time_flops, make_bench, false)
      ->Unit(kUnit)
      ->MinTime(kSeconds);
  benchmark::RegisterBenchmark((name + "/pack").c_str(), time_pack, make_bench)
      ->Unit(kUnit)
      ->MinTime(kSeconds);
}

// The main program: add_all registers the cases.
inline int run_benchmarks(int argc, char** argv, void (*add_all)()) {
  set_float_environment();
  benchmark::AddCustomContext("fma_peak_gflops", std::to_string(peak() * 1e-9));
  benchmark::AddCustomContext("isa", std::string(name_of(isa())));
  add_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace lockstep::ops
