// Passes over the flat buffer: an optimizer's update, and the additions of a fold.
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <optional>

#include "bench/kernel.h"
#include "bench/op_memory.h"
#include "bench/reference.h"
#include "lockstep/ops/flat_math.h"
#include "lockstep/optim/optimizer.h"

namespace lockstep::bench {
namespace {

constexpr std::int64_t kLarge = 4 << 20, kSmall = 1 << 14;  // elements: 16 MiB, 64 KiB

// Vectors of a device, and the stream that works on them.
class Vectors {
 public:
  explicit Vectors(Device& device) : device(device), stream(device.make_stream()) {}
  float* add(const Floats& values) {
    buffers_.push_back(device.allocate(values.size() * sizeof(float), "a benchmark"));
    device.copy(buffers_.back().data(), values.data(), values.size() * sizeof(float), *stream);
    stream->synchronize();
    return buffers_.back().as<float>();
  }
  Floats fetch(const float* from, std::int64_t n) const {
    Floats values(static_cast<std::size_t>(n));
    device.copy(values.data(), from, values.size() * sizeof(float), *stream);
    stream->synchronize();
    return values;
  }

  Device& device;
  const std::unique_ptr<Stream> stream;

 private:
  std::vector<Buffer> buffers_;
};

struct Updated {
  Updated(Device& device, optim::Kind kind, std::int64_t n)
      : n(n), vectors(device), p0(numbers(n, 1)), g0(numbers(n, 2)) {
    table.add("w", Shape{n}, ParameterKind::kWeight, Init::kZeros);
    options.kind = kind;
    options.momentum = kind == optim::Kind::kSgd ? 0.9 : 0;
    optimizer.emplace(table, options, device);
    p = vectors.add(p0), g = vectors.add(g0);
  }
  void step() {
    optimizer->step(p, at++, 1, 1, [this](int b) { return g + table.blocks()[b].begin; }, {},
                    vectors.stream.get());
  }
  // Loshchilov & Hutter 2019 (AdamW), Sutskever et al. 2013 (momentum, as PyTorch), first step.
  std::string check() {
    step();
    std::vector<double> expected(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double x = p0[i], d = g0[i];
      const double step = options.kind == optim::Kind::kSgd
                              ? d + options.decay * x
                              : d / (std::fabs(d) + options.epsilon) + options.decay * x;
      expected[i] = x - options.lr * step;
    }
    // The parameter is rounded once; what is subtracted from it has a few roundings of its own.
    return difference("p", vectors.fetch(p, n), expected,
                      2 * kUnit + 16 * kUnit * options.lr);
  }

  const std::int64_t n;
  Vectors vectors;
  const Floats p0, g0;
  ParameterTable table;
  optim::Options options;
  std::optional<optim::Optimizer> optimizer;
  float *p = nullptr, *g = nullptr;
  std::int64_t at = 0;
};

Subject update(optim::Kind kind, std::int64_t n, double floats_moved, double flops) {
  return {"update", fmt::format("{} {} parameters", name_of(kind), n), [=](Device& device) {
            const auto u = std::make_shared<Updated>(device, kind, n);
            const double elements = static_cast<double>(n);
            std::vector<Kernel> kernels;
            kernels.push_back({"", ops::Precision::kFp32, flops * elements,
                               4 * floats_moved * elements, [u] { u->step(); },
                               [u] { u->vectors.stream->synchronize(); },
                               [u] { return u->check(); }});
            return kernels;
          }};
}

// A lane's leaf and another's to their sum: equal to the last bit.
Subject adding(std::int64_t n) {
  return {"fold", fmt::format("add two leaves of {} elements", n), [=](Device& device) {
            const auto v = std::make_shared<Vectors>(device);
            const Floats a = numbers(n, 1), b = numbers(n, 2);
            float *const x = v->add(a), *const y = v->add(b), *const to = v->add(Floats(n));
            const auto run = [=] { ops::add(v->device, to, x, y, n, *v->stream); };
            std::vector<Kernel> kernels;
            kernels.push_back({"", ops::Precision::kFp32, static_cast<double>(n), 12.0 * n, run,
                               [v] { v->stream->synchronize(); }, [=] {
                                 run();
                                 std::vector<double> sum(a.size());
                                 for (std::size_t i = 0; i < sum.size(); ++i)
                                   sum[i] = static_cast<float>(static_cast<double>(a[i]) + b[i]);
                                 return difference("sum", v->fetch(to, n), sum, 0);
                               }});
            return kernels;
          }};
}

// To nearest even, by the bits.
double to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u);
}

Subject rounding(std::int64_t n) {
  return {"fold", fmt::format("round a leaf of {} to bf16", n), [=](Device& device) {
            const auto v = std::make_shared<Vectors>(device);
            const Floats a = numbers(n, 1);
            float *const x = v->add(a), *const to = v->add(Floats(n));
            const auto run = [=] { ops::round_to_bf16(v->device, to, x, n, *v->stream); };
            std::vector<Kernel> kernels;
            kernels.push_back({"", ops::Precision::kFp32, 0, 8.0 * n, run,
                               [v] { v->stream->synchronize(); }, [=] {
                                 run();
                                 std::vector<double> rounded;
                                 for (const float value : a) rounded.push_back(to_bf16(value));
                                 return difference("bf16", v->fetch(to, n), rounded, 0);
                               }});
            return kernels;
          }};
}

}  // namespace

std::vector<Subject> flat_subjects() {
  std::vector<Subject> all;
  for (const std::int64_t n : {kSmall, kLarge}) {
    all.push_back(update(optim::Kind::kSgd, n, 5, 4));    // p, momentum read and written, g read
    all.push_back(update(optim::Kind::kAdamW, n, 7, 14));
  }
  for (const std::int64_t n : {kSmall, kLarge}) all.push_back(adding(n));
  all.push_back(rounding(kLarge));
  return all;
}

}  // namespace lockstep::bench
