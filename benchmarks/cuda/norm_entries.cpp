// Norms, activations and passes over long vectors at the sizes of GPT-2 124M.
#include "entry.h"
#include "kernels/bias_activation.h"
#include "kernels/elementwise.h"
#include "kernels/row_norm.h"
#include "memory.h"

namespace lockstep::bench {
namespace {

struct NormMemory {
  NormMemory(Device& device, std::int64_t rows, std::int64_t channels)
      : x(random_array(device, rows * channels, 1)),
        dy(random_array(device, rows * channels, 2)),
        gain(random_array(device, channels, 3)),
        bias(random_array(device, channels, 4)),
        y(device, rows * channels),
        expected(device, rows * channels),
        saved(device, 3 * rows),
        d_gain(device, channels),
        d_bias(device, channels),
        workspace(device, static_cast<std::int64_t>(
                              kernels::row_norm_workspace_bytes(rows, channels) / 4 + 4)) {
    forward = {.rows = rows,
               .channels = channels,
               .x = x.data(),
               .gain = gain.data(),
               .bias = bias.data(),
               .y = y.data(),
               .saved = saved.data()};
    backward = {.rows = rows,
                .channels = channels,
                .x = x.data(),
                .dy = dy.data(),
                .gain = gain.data(),
                .saved = saved.data(),
                .dx = y.data(),
                .d_gain = d_gain.data(),
                .d_bias = d_bias.data(),
                .workspace = workspace.data()};
  }
  Array<float> x, dy, gain, bias, y, expected, saved, d_gain, d_bias, workspace;
  kernels::RowNorm<float> forward;
  kernels::RowNormGradient<float> backward;
};

Entry norm_forward(std::int64_t rows, std::int64_t channels, const std::string& shape) {
  Entry e{"layer norm forward", shape};
  e.bytes = 8.0 * rows * channels, e.flops = 8.0 * rows * channels;
  e.build = [=](Device& device) {
    const NormMemory m(device, rows, channels);
    Running r;
    r.run = [m](cudaStream_t stream) { kernels::layer_norm(m.forward, stream); };
    r.error = [m](cudaStream_t stream) {
      kernels::layer_norm(m.forward, stream);
      kernels::RowNorm<float> reference = m.forward;
      reference.y = m.expected.data();
      kernels::layer_norm_reference(reference, stream);
      cudaStreamSynchronize(stream);
      return deviation(m.y, m.expected);
    };
    return r;
  };
  return e;
}

Entry norm_backward(std::int64_t rows, std::int64_t channels, const std::string& shape) {
  Entry e{"layer norm backward", shape};
  e.bytes = 12.0 * rows * channels, e.flops = 14.0 * rows * channels;
  e.build = [=](Device& device) {
    const NormMemory m(device, rows, channels);
    Running r;
    r.run = [m](cudaStream_t stream) { kernels::layer_norm_gradient(m.backward, stream); };
    r.error = [m](cudaStream_t stream) {
      kernels::layer_norm(m.forward, stream);
      kernels::layer_norm_gradient(m.backward, stream);
      kernels::RowNormGradient<float> reference = m.backward;
      reference.dx = m.expected.data();
      kernels::layer_norm_gradient_reference(reference, stream);
      cudaStreamSynchronize(stream);
      return deviation(m.y, m.expected);
    };
    return r;
  };
  return e;
}

Entry bias_gelu(std::int64_t rows, std::int64_t columns, const std::string& shape) {
  Entry e{"bias gelu_tanh forward", shape};
  e.bytes = 8.0 * rows * columns, e.flops = 25.0 * rows * columns;
  e.build = [=](Device& device) {
    const auto z = random_array(device, rows * columns, 1), bias = random_array(device, columns, 2);
    const Array<float> y(device, rows * columns), expected(device, rows * columns);
    kernels::BiasActivation<float> a{.rows = rows,
                                     .columns = columns,
                                     .z = z.data(),
                                     .bias = bias.data(),
                                     .y = y.data(),
                                     .activation = ops::Activation::kGeluTanh};
    Running r;
    r.run = [z, bias, y, a](cudaStream_t stream) { kernels::bias_activation(a, stream); };
    r.error = [z, bias, y, expected, a](cudaStream_t stream) {
      kernels::bias_activation(a, stream);
      kernels::BiasActivation<float> reference = a;
      reference.y = expected.data();
      kernels::bias_activation_reference(reference, stream);
      cudaStreamSynchronize(stream);
      return deviation(y, expected);
    };
    return r;
  };
  return e;
}

Entry addition(std::int64_t n, const std::string& shape) {
  Entry e{"add", shape};
  e.bytes = 12.0 * n, e.flops = n;
  e.build = [=](Device& device) {
    const auto a = random_array(device, n, 1), b = random_array(device, n, 2);
    const Array<float> y(device, n), expected(device, n);
    Running r;
    r.run = [=](cudaStream_t stream) { kernels::add(y.data(), a.data(), b.data(), n, stream); };
    r.error = [=](cudaStream_t stream) {
      kernels::add(y.data(), a.data(), b.data(), n, stream);
      kernels::add_reference(expected.data(), a.data(), b.data(), n, stream);
      cudaStreamSynchronize(stream);
      return deviation(y, expected);
    };
    return r;
  };
  return e;
}

}  // namespace

std::vector<Entry> norm_entries(bool tiny) {
  const std::int64_t rows = tiny ? 7 : 8192, channels = tiny ? 33 : 768;
  const std::string shape = std::to_string(rows) + " x " + std::to_string(channels);
  const std::string wide = std::to_string(rows) + " x " + std::to_string(4 * channels);
  return {norm_forward(rows, channels, shape), norm_backward(rows, channels, shape),
          bias_gelu(rows, 4 * channels, wide), addition(rows * channels, shape)};
}

}  // namespace lockstep::bench
