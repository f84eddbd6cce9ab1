// Norms, elementwise ops, embeddings and losses: verified element by element.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bench/kernel.h"
#include "bench/op_memory.h"
#include "bench/reference.h"
#include "lockstep/ops/loss.h"

namespace lockstep::bench {
namespace {

using Doubles = std::vector<double>;
using Memory = std::shared_ptr<OpMemory>;

// What an op should have made of the numbers in its memory.
struct Expected {
  Doubles y, dx;
  std::vector<Doubles> d_parameters;
};

std::vector<Kernel> kernels_of(const Memory& memory, std::function<Expected()> expect, double off,
                               double length) {
  const ops::Cost cost = memory->op().cost();
  const auto settle = [memory] { memory->settle(); };
  const auto forward = [=] {
    memory->forward();
    return difference("y", memory->output(), expect().y, off);
  };
  const auto backward = [=] {
    memory->forward();
    memory->backward();
    const Expected e = expect();
    std::string found = e.dx.empty() ? "" : difference("dx", memory->d_input(0), e.dx, 4 * off);
    for (std::size_t i = 0; found.empty() && i < e.d_parameters.size(); ++i)
      found = difference(i == 0 ? "d_gain" : "d_bias", memory->d_parameter(static_cast<int>(i)),
                         e.d_parameters[i], 4 * sum_allowance(length));
    return found;
  };
  std::vector<Kernel> kernels;
  kernels.push_back({"forward", ops::Precision::kFp32, cost.forward_flops, cost.forward_bytes,
                     [memory] { memory->forward(); }, settle, forward});
  kernels.push_back({"backward", ops::Precision::kFp32, cost.backward_flops, cost.backward_bytes,
                     [memory] { memory->backward(); }, settle, backward});
  return kernels;
}

// Normalises `count` numbers at x, `stride` apart: mean 0 (unless `rms`), then variance 1. Gives
// their backward the same way; adds to the parameters' gradients.
struct Normalised {
  std::int64_t count, stride;
  double epsilon;
  bool rms;

  template <class Gain>
  void run(const float* x, const float* dy, double* y, double* dx, Gain gain_at) const {
    double mean = 0, square = 0;
    for (std::int64_t i = 0; i < count && !rms; ++i) mean += x[i * stride];
    mean /= static_cast<double>(count);
    for (std::int64_t i = 0; i < count; ++i)
      square += (x[i * stride] - mean) * (x[i * stride] - mean);
    const double rstd = 1 / std::sqrt(square / static_cast<double>(count) + epsilon);
    double mean_g = 0, mean_gx = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double at = (x[i * stride] - mean) * rstd;
      const auto parameters = gain_at(i, at, dy[i * stride]);
      y[i * stride] = at * parameters.first + parameters.second;
      mean_g += dy[i * stride] * parameters.first;
      mean_gx += dy[i * stride] * parameters.first * at;
      dx[i * stride] = dy[i * stride] * parameters.first;
    }
    mean_g = rms ? 0 : mean_g / static_cast<double>(count);
    mean_gx /= static_cast<double>(count);
    for (std::int64_t i = 0; i < count; ++i)
      dx[i * stride] = rstd * (dx[i * stride] - mean_g - (x[i * stride] - mean) * rstd * mean_gx);
  }
};

// Of [rows, channels] along channels, or (batch) along rows.
Expected normalised(const OpMemory& memory, std::int64_t rows, std::int64_t channels,
                    double epsilon, bool rms, bool batch) {
  const Floats &x = memory.input(0), &dy = memory.d_output();
  Expected e{Doubles(x.size()), Doubles(x.size()), {Doubles(channels)}};
  if (!rms) e.d_parameters.emplace_back(channels);
  const Normalised way{batch ? rows : channels, batch ? channels : 1, epsilon, rms};
  for (std::int64_t line = 0; line < (batch ? channels : rows); ++line) {
    const std::int64_t at = batch ? line : line * channels;
    way.run(&x[at], &dy[at], &e.y[at], &e.dx[at], [&](std::int64_t i, double value, double g) {
      const std::int64_t c = batch ? line : i;
      e.d_parameters[0][c] += g * value;
      if (!rms) e.d_parameters[1][c] += g;
      return std::pair<double, double>(memory.parameter(0)[c], rms ? 0 : memory.parameter(1)[c]);
    });
  }
  return e;
}

constexpr double kNormOff = 64 * kUnit;

Subject layer_norm(std::int64_t rows, std::int64_t channels) {
  return {"norm", fmt::format("layer norm {} x {}", rows, channels), [=](Device& device) {
            const ops::LayerNorm d{.rows = rows, .channels = channels};
            const auto memory = std::make_shared<OpMemory>(
                device, make(device, d),
                OpSizes{{rows * channels}, rows * channels, {channels, channels}});
            return kernels_of(
                memory,
                [=] { return normalised(*memory, rows, channels, d.epsilon, false, false); },
                kNormOff, static_cast<double>(rows));
          }};
}

Subject rms_norm(std::int64_t rows, std::int64_t channels) {
  return {"norm", fmt::format("RMS norm {} x {}", rows, channels), [=](Device& device) {
            const ops::RmsNorm d{.rows = rows, .channels = channels};
            const auto memory = std::make_shared<OpMemory>(
                device, make(device, d), OpSizes{{rows * channels}, rows * channels, {channels}});
            return kernels_of(
                memory, [=] { return normalised(*memory, rows, channels, d.epsilon, true, false); },
                kNormOff, static_cast<double>(rows));
          }};
}

Subject batch_norm(std::int64_t rows, std::int64_t channels) {
  return {"norm", fmt::format("batch norm {} x {}", rows, channels), [=](Device& device) {
            const ops::BatchNorm d{.rows = rows, .channels = channels};
            const auto memory = std::make_shared<OpMemory>(
                device, make(device, d),
                OpSizes{{rows * channels},
                        rows * channels,
                        {channels, channels},
                        {channels, channels}});
            return kernels_of(
                memory, [=] { return normalised(*memory, rows, channels, d.epsilon, false, true); },
                kNormOff, static_cast<double>(rows));
          }};
}

Subject elementwise(const std::string& name, std::int64_t n, int inputs,
                    std::function<std::unique_ptr<ops::Op>(Device&)> op,
                    std::function<std::pair<double, double>(const OpMemory&, std::int64_t)> at) {
  return {"elementwise", fmt::format("{} {}", name, n), [=](Device& device) {
            const auto memory = std::make_shared<OpMemory>(
                device, op(device), OpSizes{std::vector<std::int64_t>(inputs, n), n});
            const auto expect = [=] {
              Expected e{Doubles(n), Doubles(n), {}};
              for (std::int64_t i = 0; i < n; ++i) {
                const auto [y, slope] = at(*memory, i);
                e.y[i] = y, e.dx[i] = slope * memory->d_output()[i];
              }
              return e;
            };
            return kernels_of(memory, expect, 16 * kUnit, 1);
          }};
}

Subject gelu(std::int64_t n) {
  return elementwise(
      "gelu", n, 1,
      [n](Device& d) {
        return make(d, ops::Activate{.elements = n, .activation = ops::Activation::kGelu});
      },
      [](const OpMemory& memory, std::int64_t i) {  // Hendrycks & Gimpel 2016
        const double x = memory.input(0)[i], cdf = 0.5 * (1 + std::erf(x / std::sqrt(2.0)));
        return std::pair(x * cdf, cdf + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI));
      });
}

Subject sum_of_two(std::int64_t n) {
  return elementwise(
      "add", n, 2, [n](Device& d) { return make(d, ops::Add{.elements = n}); },
      [](const OpMemory& memory, std::int64_t i) {
        return std::pair(static_cast<double>(memory.input(0)[i]) + memory.input(1)[i], 1.0);
      });
}

Subject dropout(std::int64_t n) {
  constexpr float kRate = 0.1f;
  return elementwise(
      "dropout", n, 1,
      [n](Device& d) { return make(d, ops::Dropout{.elements = n, .rate = kRate}); },
      [](const OpMemory& memory, std::int64_t i) {
        const bool kept = memory.random().word(i) >= double{kRate} * 0x1p32;
        const double factor = kept ? 1 / (1 - double{kRate}) : 0;
        return std::pair(memory.input(0)[i] * factor, factor);
      });
}

Subject swiglu(std::int64_t rows, std::int64_t width) {
  return {"elementwise", fmt::format("SwiGLU {} x {}", rows, width), [=](Device& device) {
            const auto memory = std::make_shared<OpMemory>(
                device, make(device, ops::SwiGlu{.rows = rows, .width = width}),
                OpSizes{{2 * rows * width}, rows * width});
            const auto expect = [=] {
              Expected e{Doubles(rows * width), Doubles(2 * rows * width), {}};
              for (std::int64_t i = 0; i < rows * width; ++i) {
                const std::int64_t at = i / width * 2 * width + i % width;
                const double g = memory->input(0)[at], up = memory->input(0)[at + width];
                const double s = 1 / (1 + std::exp(-g)), d = memory->d_output()[i];
                e.y[i] = g * s * up;
                e.dx[at] = d * up * s * (1 + g * (1 - s));
                e.dx[at + width] = d * g * s;
              }
              return e;
            };
            return kernels_of(memory, expect, 16 * kUnit, 1);
          }};
}

Subject embedding(std::int64_t rows, std::int64_t vocabulary, std::int64_t width) {
  return {"embedding", fmt::format("{} tokens of {}, width {}", rows, vocabulary, width),
          [=](Device& device) {
            const ops::Embedding d{.rows = rows, .vocabulary = vocabulary, .width = width};
            const auto memory =
                std::make_shared<OpMemory>(device, make(device, d),
                                           OpSizes{{rows}, rows * width, {vocabulary * width}});
            std::vector<std::int32_t> ids;
            for (std::int64_t i = 0; i < rows; ++i)  // some come again and again
              ids.push_back(static_cast<std::int32_t>(i * i * 7919 % vocabulary));
            memory->set_input(0, ids.data());
            const auto expect = [=] {
              Expected e{Doubles(rows * width), {}, {Doubles(vocabulary * width)}};
              for (std::int64_t i = 0; i < rows * width; ++i) {
                const std::int64_t at = ids[i / width] * width + i % width;
                e.y[i] = memory->parameter(0)[at];
                e.d_parameters[0][at] += memory->d_output()[i];
              }
              return e;
            };
            return kernels_of(memory, expect, 0, 64);
          }};
}

// Loss and gradient of one call.
struct CrossEntropy {
  CrossEntropy(Device& device, std::int64_t rows, std::int64_t classes)
      : device(device),
        stream(device.make_stream()),
        rows(rows),
        classes(classes),
        logits(numbers(rows * classes, 1)) {
    const ops::LossForm form{ops::LossKind::kSoftmaxCrossEntropy, rows, classes, {}};
    loss = make(device, form);
    for (std::int64_t i = 0; i < rows; ++i)
      labels.push_back(static_cast<std::int32_t>(i * 7919 % classes));
    const std::size_t bytes = logits.size() * sizeof(float);
    x = device.allocate(bytes, "a benchmark"), dx = device.allocate(bytes, "a benchmark");
    label_at = device.allocate(labels.size() * sizeof(std::int32_t), "a benchmark");
    record = device.allocate(sizeof(ops::LaneRecord), "a benchmark");
    workspace = device.allocate(loss->workspace_bytes(), "a benchmark");
    device.copy(x.data(), logits.data(), bytes, *stream);
    device.copy(label_at.data(), labels.data(), label_at.bytes(), *stream);
    stream->synchronize();
  }
  void run() const {
    loss->run({.samples = rows,
               .width = classes,
               .valid = rows,
               .outputs = x.as<float>(),
               .labels = label_at.as<std::int32_t>(),
               .d_outputs = dx.as<float>()},
              record.as<ops::LaneRecord>(), workspace.data(), stream.get());
  }
  std::string check() const {
    device.fill(record.data(), 0, record.bytes(), *stream);
    run();
    ops::LaneRecord got;
    Floats gradient(logits.size());
    device.copy(&got, record.data(), sizeof got, *stream);
    device.copy(gradient.data(), dx.data(), dx.bytes(), *stream);
    stream->synchronize();
    Doubles expected(logits.size());
    double total = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const float* const row = &logits[i * classes];
      double sum = 0;  // of numbers in [-1, 1): nothing overflows
      for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c]));
      for (std::int64_t c = 0; c < classes; ++c)
        expected[i * classes + c] = std::exp(static_cast<double>(row[c])) / sum - (c == labels[i]);
      total += std::log(sum) - row[labels[i]];
    }
    return first_of({difference("loss", Doubles{got.sums[0]}, {total},
                                total * 16 * kUnit * std::sqrt(static_cast<double>(classes))),
                     difference("dx", gradient, expected, 16 * kUnit)});
  }

  Device& device;
  const std::unique_ptr<Stream> stream;
  const std::int64_t rows, classes;
  const Floats logits;
  std::vector<std::int32_t> labels;
  std::unique_ptr<ops::Loss> loss;
  Buffer x, dx, label_at, record, workspace;
};

Subject cross_entropy(std::int64_t rows, std::int64_t classes) {
  return {"loss", fmt::format("softmax cross-entropy {} x {}", rows, classes), [=](Device& device) {
            const auto c = std::make_shared<CrossEntropy>(device, rows, classes);
            std::vector<Kernel> kernels;
            // Logits read, gradients written; an exponential counts as one.
            kernels.push_back({"", ops::Precision::kFp32, 5.0 * rows * classes,
                               8.0 * rows * classes, [c] { c->run(); },
                               [c] { c->stream->synchronize(); }, [c] { return c->check(); }});
            return kernels;
          }};
}

}  // namespace

std::vector<Subject> row_subjects() {
  return {layer_norm(64, 64),
          layer_norm(8192, 768),
          rms_norm(8192, 768),
          batch_norm(64, 16),
          batch_norm(128 * 32 * 32, 16),  // ResNet-20's first stage
          sum_of_two(1 << 14),
          sum_of_two(8192 * 768),
          gelu(2048 * 3072),
          dropout(8192 * 768),
          swiglu(2048, 2048),
          embedding(64, 100, 32),
          embedding(8192, 50257, 768),
          cross_entropy(64, 10),
          cross_entropy(256, 50257)};
}

}  // namespace lockstep::bench
