// Matrix products of linear layers, and convolutions. Verified in full by sums over one dimension
// with random signs (reference.h), whose references cost no more than reading the factors.
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "bench/kernel.h"
#include "bench/op_memory.h"
#include "bench/reference.h"
#include "lockstep/ops/precision.h"

namespace lockstep::bench {
namespace {

using Doubles = std::vector<double>;

// Several results are added up with signs, whose errors add up as those of a random walk. A tensor
// core drops bits where fp32 arithmetic rounds them.
double allowance(double length, double combined, ops::Precision precision) {
  return sum_allowance(length) * std::sqrt(combined) *
         (precision == ops::Precision::kBf16 ? 4 : 1);
}

// weights[row] times row of a [rows, columns] matrix, summed over rows.
Doubles transposed_times(const Floats& matrix, const Doubles& weights) {
  const std::size_t columns = matrix.size() / weights.size();
  Doubles sums(columns);
  for (std::size_t row = 0; row < weights.size(); ++row)
    for (std::size_t c = 0; c < columns; ++c) sums[c] += weights[row] * matrix[row * columns + c];
  return sums;
}

std::string check_linear_forward(const OpMemory& memory, const ops::Linear& d) {
  const Doubles r = signs(d.out);
  const Doubles from = transposed_times(memory.parameter(0), r);  // W^T r
  Doubles expected = times(memory.input(0), from);
  if (d.bias) {
    double bias = 0;
    for (std::int64_t j = 0; j < d.out; ++j) bias += memory.parameter(1)[j] * r[j];
    for (double& e : expected) e += bias;
  }
  return difference("y r", times(memory.output(), r), expected,
                    allowance(d.in, d.out, d.precision));
}

std::string check_linear_backward(const OpMemory& memory, const ops::Linear& d) {
  const Doubles s = signs(d.in);
  const Floats &dy = memory.d_output();
  const Doubles dx = times(dy, times(memory.parameter(0), s));
  const Doubles dw = transposed_times(dy, times(memory.input(0), s));
  return first_of({difference("dx s", times(memory.d_input(0), s), dx,
                              allowance(d.out, d.in, d.precision)),
                   difference("dW s", times(memory.d_parameter(0), s), dw,
                              allowance(d.rows, d.in, d.precision)),
                   d.bias ? difference("db", memory.d_parameter(1),
                                       transposed_times(dy, Doubles(d.rows, 1)),
                                       sum_allowance(d.rows))
                          : ""});
}

// Forward and backward of an op as two kernels that share its memory.
std::vector<Kernel> directions(std::shared_ptr<OpMemory> memory, ops::Precision precision,
                               std::function<std::string()> check_forward,
                               std::function<std::string()> check_backward) {
  const ops::Cost cost = memory->op().cost();
  const auto settle = [memory] { memory->settle(); };
  Kernel forward{"forward", precision, cost.forward_flops, cost.forward_bytes,
                 [memory] { memory->forward(); }, settle, [memory, check_forward] {
                   memory->forward();
                   return check_forward();
                 }};
  Kernel backward{"backward", precision, cost.backward_flops, cost.backward_bytes,
                  [memory] { memory->backward(); }, settle, [memory, check_backward] {
                    memory->forward();
                    memory->backward();
                    return check_backward();
                  }};
  return {std::move(forward), std::move(backward)};
}

// A convolution as three dimensions of space, those that it lacks of extent 1.
struct Space {
  std::array<std::int64_t, 3> in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1},
      padding{};
  std::int64_t samples, channels, outputs;

  explicit Space(const ops::Convolution& c)
      : samples(c.input[0]), channels(c.input[-1]), outputs(c.out_channels) {
    const Shape to = output_shape(c);
    for (int i = 0; i < c.input.rank() - 2; ++i) {
      in[i] = c.input[i + 1], out[i] = to[i + 1], kernel[i] = c.kernel[i];
      stride[i] = c.stride[i], padding[i] = c.padding[i];
    }
  }
  std::int64_t places() const { return kernel[0] * kernel[1] * kernel[2]; }
  std::int64_t pixels() const { return samples * out[0] * out[1] * out[2]; }

  // visit(output pixel, place of the kernel, input pixel) wherever that is not padding.
  template <class Visit>
  void each(Visit visit) const {
    std::int64_t pixel = 0;
    for (std::int64_t n = 0; n < samples; ++n)
      for (std::int64_t a = 0; a < out[0]; ++a)
        for (std::int64_t b = 0; b < out[1]; ++b)
          for (std::int64_t c = 0; c < out[2]; ++c, ++pixel)
            for (std::int64_t place = 0; place < places(); ++place) {
              const std::int64_t x = a * stride[0] - padding[0] + place / (kernel[1] * kernel[2]);
              const std::int64_t y = b * stride[1] - padding[1] + place / kernel[2] % kernel[1];
              const std::int64_t z = c * stride[2] - padding[2] + place % kernel[2];
              if (x < 0 || x >= in[0] || y < 0 || y >= in[1] || z < 0 || z >= in[2]) continue;
              visit(pixel, place, ((n * in[0] + x) * in[1] + y) * in[2] + z);
            }
  }
};

std::string check_convolution_forward(const OpMemory& memory, const ops::Convolution& d) {
  const Space space(d);
  const std::int64_t channels = space.channels, places = space.places();
  const Doubles r = signs(d.out_channels);
  const Doubles combined = transposed_times(memory.parameter(0), r);  // [channels, places]
  Doubles expected(space.pixels());
  space.each([&](std::int64_t pixel, std::int64_t place, std::int64_t from) {
    const float* const x = memory.input(0).data() + from * channels;
    for (std::int64_t c = 0; c < channels; ++c) expected[pixel] += x[c] * combined[c * places + place];
  });
  return difference("y r", times(memory.output(), r), expected,
                    allowance(channels * places, d.out_channels, d.precision));
}

std::string check_convolution_backward(const OpMemory& memory, const ops::Convolution& d) {
  const Space space(d);
  const std::int64_t channels = space.channels, places = space.places(), outputs = d.out_channels;
  const Doubles r = signs(outputs), s = signs(channels);
  Doubles weights(outputs * places);  // W s, [places, outputs]
  for (std::int64_t o = 0; o < outputs; ++o)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t place = 0; place < places; ++place)
        weights[place * outputs + o] +=
            memory.parameter(0)[(o * channels + c) * places + place] * s[c];
  const Floats& dy = memory.d_output();
  const Doubles combined = times(dy, r);
  Doubles dx(d.input.elements() / channels), dw(channels * places);
  space.each([&](std::int64_t pixel, std::int64_t place, std::int64_t from) {
    double sum = 0;
    for (std::int64_t o = 0; o < outputs; ++o)
      sum += dy[pixel * outputs + o] * weights[place * outputs + o];
    dx[from] += sum;
    for (std::int64_t c = 0; c < channels; ++c)
      dw[c * places + place] += combined[pixel] * memory.input(0)[from * channels + c];
  });
  return first_of({difference("r dW", transposed_times(memory.d_parameter(0), r), dw,
                              allowance(space.pixels(), outputs, d.precision)),
                   d.need_d_input ? difference("dx s", times(memory.d_input(0), s), dx,
                                               allowance(outputs * places, channels, d.precision))
                                  : ""});
}

Subject linear(std::int64_t rows, std::int64_t in, std::int64_t out, ops::Precision precision) {
  return {"gemm", fmt::format("{} x {} x {} {}", rows, in, out, name_of(precision)),
          [=](Device& device) {
            const ops::Linear d{.rows = rows, .in = in, .out = out, .precision = precision};
            return linear_kernels(device, d, make(device, d));
          }};
}

Subject convolution(const Shape& input, std::int64_t out, ops::Precision precision) {
  const int rank = input.rank() - 2;
  const std::vector<std::int64_t> ones(rank, 1);
  ops::Convolution d{input, out, std::vector<std::int64_t>(rank, 3), ones, ones, ones};
  d.bias = false;
  d.precision = precision;
  return {"convolution", fmt::format("{} to {} {}", input.text(), out, name_of(precision)),
          [d](Device& device) { return convolution_kernels(device, d, make(device, d)); }};
}

}  // namespace

std::vector<Kernel> linear_kernels(Device& device, const ops::Linear& d,
                                   std::unique_ptr<ops::Op> op) {
  OpSizes sizes{.inputs = {d.rows * d.in}, .output = d.rows * d.out, .parameters = {d.out * d.in}};
  if (d.bias) sizes.parameters.push_back(d.out);
  sizes.bf16 = d.precision == ops::Precision::kBf16;
  const auto memory = std::make_shared<OpMemory>(device, std::move(op), sizes);
  return directions(memory, d.precision, [=] { return check_linear_forward(*memory, d); },
                    [=] { return check_linear_backward(*memory, d); });
}

std::vector<Kernel> convolution_kernels(Device& device, const ops::Convolution& d,
                                        std::unique_ptr<ops::Op> op) {
  const std::int64_t weights = d.out_channels * d.input[-1] * Space(d).places();
  const OpSizes sizes{.inputs = {d.input.elements()},
                      .output = output_shape(d).elements(),
                      .parameters = {weights},
                      .bf16 = d.precision == ops::Precision::kBf16};
  const auto memory = std::make_shared<OpMemory>(device, std::move(op), sizes);
  return directions(memory, d.precision, [=] { return check_convolution_forward(*memory, d); },
                    [=] { return check_convolution_backward(*memory, d); });
}

std::vector<Subject> product_subjects(const Device& device) {
  const bool cuda = device.kind() == DeviceKind::kCuda;
  std::vector<Subject> all;
  for (const ops::Precision precision : {ops::Precision::kFp32, ops::Precision::kBf16}) {
    if (precision == ops::Precision::kBf16 && !cuda && !ops::has_bf16_arithmetic()) continue;
    all.push_back(linear(64, 64, 64, precision));
    all.push_back(linear(128, 784, 1024, precision));   // an MLP on Fashion-MNIST
    all.push_back(linear(2048, 384, 1536, precision));  // the gpt preset: 8 samples of 256 tokens
    all.push_back(linear(1024, 768, 2304, precision));  // GPT-2 124M
    all.push_back(linear(1024, 768, 3072, precision));
    all.push_back(linear(1024, 1024, 1024, precision));
    if (cuda) all.push_back(linear(8192, 4096, 4096, precision));
  }
  for (const ops::Precision precision : {ops::Precision::kFp32, ops::Precision::kBf16}) {
    if (precision == ops::Precision::kBf16 && !cuda) continue;
    all.push_back(convolution({2, 8, 8, 16}, 16, precision));
    all.push_back(convolution({128, 32, 32, 16}, 16, precision));  // ResNet-20 (He et al. 2015)
    all.push_back(convolution({128, 16, 16, 32}, 32, precision));
    all.push_back(convolution({128, 8, 8, 64}, 64, precision));
    all.push_back(convolution({2, 32, 32, 32, 32}, 64, precision));  // CosmoFlow, 64^3 voxels
    all.push_back(convolution({2, 8, 8, 8, 128}, 256, precision));
  }
  return all;
}

}  // namespace lockstep::bench
