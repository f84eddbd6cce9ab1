#include "bench/ceilings.h"

#include <algorithm>
#include <memory>

#include "bench/op_memory.h"
#include "lockstep/bench/measure.h"
#include "lockstep/core/clock.h"
#include "lockstep/ops/flat_math.h"
#include "lockstep/ops/precision.h"

namespace lockstep::bench {
namespace {

constexpr std::int64_t kLargestProduct = 8192;
constexpr double kEnough = 0.02;  // seconds of one product

double slowest(comm::Communicator& communicator, double rate) {
  return static_cast<double>(communicator.min(static_cast<std::int64_t>(rate * 1e-3))) * 1e3;
}

double fma_peak(comm::Communicator& communicator, double seconds) {
  communicator.barrier();
  double best = 0;
  for (const double end = seconds_now() + seconds; best == 0 || seconds_now() < end;)
    best = std::max(best, measure_fma_peak());
  return slowest(communicator, best);
}

// Of square products, twice as large each time until one takes long enough to be at its best.
double product_rate(Device& device, ops::Precision precision) {
  double best = 0;
  for (std::int64_t n = 64; n <= kLargestProduct; n *= 2) {
    const ops::Linear linear{
        .rows = n, .in = n, .out = n, .bias = false, .precision = precision};
    OpMemory memory(device, make(device, linear),
                    {.inputs = {n * n}, .output = n * n, .parameters = {n * n}, .bf16 = true});
    memory.forward();
    memory.settle();
    const double start = seconds_now();
    memory.forward();
    memory.settle();
    const double seconds = seconds_now() - start;
    best = std::max(best, memory.op().cost().forward_flops / seconds);
    if (seconds > kEnough) break;
  }
  return best;
}

// c = a + b over arrays larger than caches.
double bandwidth(comm::Communicator& communicator, Device& device, double seconds) {
  const auto stream = device.make_stream();
  double rate = 0;
  // An emulated device takes long over little.
  for (std::int64_t n = 1 << 14; n <= 1 << 24; n <<= 5) {
    const Buffer a = device.allocate(static_cast<std::size_t>(n) * 4, "a benchmark"),
                 b = device.allocate(a.bytes(), "a benchmark"),
                 c = device.allocate(a.bytes(), "a benchmark");
    for (const Buffer* buffer : {&a, &b, &c})  // touched, so that each has pages of its own
      device.fill(buffer->data(), 0, buffer->bytes(), *stream);
    MeasureOptions options{.seconds = n == 1 << 24 ? seconds : 0, .repetitions = 3,
                           .together = true, .settle = [&] { stream->synchronize(); }};
    const Timing time = measure(
        communicator,
        [&] { ops::add(device, c.as<float>(), a.as<float>(), b.as<float>(), n, *stream); },
        options);
    rate = 3.0 * static_cast<double>(a.bytes()) / time.least;
    if (time.median > 1) break;
  }
  return rate;
}

}  // namespace

Ceilings measure_ceilings(comm::Communicator& communicator, Device& device, double seconds) {
  Ceilings ceilings;
  if (device.kind() == DeviceKind::kCpu) {
    ceilings.fp32 = fma_peak(communicator, seconds);
    // Where there is an instruction for it, it does twice as many as a multiply-add of fp32.
    ceilings.bf16 = ops::has_bf16_arithmetic() ? 2 * ceilings.fp32 : ceilings.fp32;
  } else {
    ceilings.fp32 = slowest(communicator, product_rate(device, ops::Precision::kFp32));
    ceilings.bf16 = slowest(communicator, product_rate(device, ops::Precision::kBf16));
  }
  ceilings.bandwidth = bandwidth(communicator, device, seconds);
  return ceilings;
}

}  // namespace lockstep::bench
