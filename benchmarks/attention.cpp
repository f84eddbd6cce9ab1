// Attention, forward and backward, in GFLOP/s and percent of the measured FMA peak of one core;
// causal attention is counted with the pairs that it needs, about half. The figure is that of the
// quickest of many calls, the peak of the same moments.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/core/isa.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {
namespace {

// Time of this process, so that a busy machine does not spoil the figures.
double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

class Memory {
 public:
  float* floats(std::int64_t n) {
    auto* x = static_cast<float*>(bytes(n * sizeof(float)));
    for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(i * 7 % 113) * 0.02f - 1.1f;
    return x;
  }
  void* bytes(std::size_t n) {
    buffers_.push_back(cpu_device().allocate(n, "benchmark"));
    return buffers_.back().data();
  }

 private:
  std::vector<Buffer> buffers_;
};

template <class F>
double quickest(F run, double seconds) {
  double best = 1e9;
  for (const double end = cpu_seconds() + seconds; cpu_seconds() < end;) {
    const double start = cpu_seconds();
    run();
    best = std::min(best, cpu_seconds() - start);
  }
  return best;
}

void measure(const Attention& d) {
  Memory memory;
  const std::int64_t tokens = d.samples * d.tokens;
  const std::int64_t in = tokens * (d.heads + 2 * d.kv_heads) * d.width;
  const std::int64_t out = tokens * d.heads * d.width;
  const auto op = make(cpu_device(), d);
  const float* inputs[] = {memory.floats(in)};
  float* d_inputs[] = {memory.floats(in)};
  Args args;
  args.inputs = inputs;
  args.output = memory.floats(out);
  args.d_output = memory.floats(out);
  args.d_inputs = d_inputs;
  args.saved = memory.bytes(op->saved_bytes());
  args.workspace = memory.bytes(op->workspace_bytes());
  args.state = memory.bytes(op->state_bytes());
  args.position = d.cache > 0 ? d.cache - d.tokens : 0;
  const Cost cost = op->cost();
  double peak = 0, forward = 1e9, backward = 1e9;
  for (int round = 0; round < 5; ++round) {
    peak = std::max(peak, measure_fma_peak());
    forward = std::min(forward, quickest([&] { op->forward(args); }, 0.1));
    if (d.cache == 0) backward = std::min(backward, quickest([&] { op->backward(args); }, 0.2));
  }
  const std::string name = fmt::format(
      "N={} T={} H={}/{} D={}{}{}{}{}{}", d.samples, d.tokens, d.heads, d.kv_heads, d.width,
      d.causal ? " causal" : "", d.rotary > 0 ? " rotary" : "", d.dropout > 0 ? " dropout" : "",
      d.cache > 0 ? fmt::format(" after {}", args.position) : "",
      d.precision == Precision::kBf16 ? " bf16" : "");
  if (d.cache > 0) {
    const double pairs = static_cast<double>(d.heads * d.cache * d.tokens * d.samples);
    const double rate = 4 * static_cast<double>(d.width) * pairs / forward;
    fmt::print("{:44} {:8.1f} us  {:6.1f} GFLOP/s\n", name, forward * 1e6, rate * 1e-9);
    return;
  }
  const auto part = [&](const char* what, double flops, double seconds) {
    fmt::print("{:44} {:8} {:9.1f} us  {:6.1f} GFLOP/s  {:5.1f} % of FMA peak\n", name, what,
               seconds * 1e6, flops / seconds * 1e-9, flops / seconds / peak * 100);
  };
  part("forward", cost.forward_flops, forward);
  part("backward", cost.backward_flops, backward);
  part("both", cost.forward_flops + cost.backward_flops, forward + backward);
}

void measure_all() {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    Attention d{.samples = 8, .tokens = 256, .heads = 6, .kv_heads = 6, .width = 64};
    d.precision = precision;
    measure(d);
    d.rotary = 10000;
    d.kv_heads = 2;
    measure(d);
    d.rotary = 0;
    d.dropout = 0.1f;
    measure(d);
    d.dropout = 0;
    d.causal = false;
    measure(d);
    measure({.samples = 1, .tokens = 1024, .heads = 12, .kv_heads = 12, .width = 64,
             .precision = precision});
    for (const std::int64_t width : {32, 80, 128}) {
      measure({.samples = 2, .tokens = 512, .heads = 4, .kv_heads = 4, .width = width,
               .precision = precision});
    }
    measure({.samples = 1, .tokens = 1, .heads = 12, .kv_heads = 12, .width = 64, .cache = 1024,
             .precision = precision});
  }
}

}  // namespace
}  // namespace lockstep::ops

int main() {
  lockstep::set_float_environment();
  fmt::print("{}, FMA peak {:.0f} GFLOP/s\n", name_of(lockstep::isa()),
             lockstep::measure_fma_peak() * 1e-9);
  lockstep::ops::measure_all();
}
