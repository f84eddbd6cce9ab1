// The loss over a vocabulary, embeddings, and pooling.
#include "entry.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/pool.h"
#include "memory.h"

namespace lockstep::bench {
namespace {

Array<std::int32_t> random_ids(Device& device, std::int64_t n, std::int64_t below) {
  std::vector<std::int32_t> ids(n);
  const RandomKey key{.seed = 9};
  for (std::int64_t i = 0; i < n; ++i) ids[i] = static_cast<std::int32_t>(key.word(i) % below);
  Array<std::int32_t> array(device, n);
  array.upload(ids);
  return array;
}

Entry cross_entropy(std::int64_t rows, std::int64_t width, const std::string& shape) {
  Entry e{"softmax cross-entropy", shape};
  e.bytes = 8.0 * rows * width, e.flops = 8.0 * rows * width;
  e.build = [=](Device& device) {
    const auto logits = random_array(device, rows * width, 1);
    const auto labels = random_ids(device, rows, width);
    const Array<float> d(device, rows * width), expected(device, rows * width);
    const Array<double> losses(device, rows);
    const kernels::CrossEntropyRows<float> a{logits.data(), labels.data(), rows,
                                             width,         d.data(),      losses.data()};
    Running r;
    r.run = [logits, labels, d, losses, a](cudaStream_t stream) {
      kernels::cross_entropy(a, stream);
    };
    r.error = [logits, labels, d, losses, a, expected](cudaStream_t stream) {
      kernels::cross_entropy(a, stream);
      kernels::CrossEntropyRows<float> reference = a;
      reference.d_logits = expected.data();
      kernels::cross_entropy_reference(reference, stream);
      cudaStreamSynchronize(stream);
      return deviation(d, expected);
    };
    return r;
  };
  return e;
}

Entry embedding_backward(const kernels::EmbeddingShape& s, const std::string& shape) {
  Entry e{"embedding backward", shape};
  e.bytes = 4.0 * s.rows * s.width + 4.0 * s.vocabulary * s.width, e.flops = s.rows * s.width;
  e.build = [=](Device& device) {
    const auto d_y = random_array(device, s.rows * s.width, 1);
    const auto ids = random_ids(device, s.rows, s.vocabulary);
    const Array<float> d(device, s.vocabulary * s.width), expected(device, s.vocabulary * s.width);
    const Array<char> workspace(device, static_cast<std::int64_t>(kernels::embedding_workspace(s)));
    Running r;
    r.run = [=](cudaStream_t stream) {
      kernels::embedding_backward(s, ids.data(), d_y.data(), nullptr, d.data(), workspace.data(),
                                  stream);
    };
    r.error = [=](cudaStream_t stream) {
      kernels::embedding_backward(s, ids.data(), d_y.data(), nullptr, d.data(), workspace.data(),
                                  stream);
      kernels::embedding_backward_reference(s, ids.data(), d_y.data(), expected.data(), stream);
      cudaStreamSynchronize(stream);
      return deviation(d, expected);
    };
    r.allowed = 0;  // the same order
    return r;
  };
  return e;
}

Entry max_pool(const kernels::PoolShape& s, const std::string& shape) {
  Entry e{"max pool", shape};
  const std::int64_t inputs = std::int64_t{s.samples} * s.channels * s.in[0] * s.in[1] * s.in[2];
  const std::int64_t outputs =
      std::int64_t{s.samples} * s.channels * s.out[0] * s.out[1] * s.out[2];
  e.bytes = 4.0 * inputs + 5.0 * outputs, e.flops = static_cast<double>(outputs) * s.window();
  e.build = [=](Device& device) {
    const auto x = random_array(device, inputs, 1);
    const Array<float> y(device, outputs), expected(device, outputs);
    const Array<std::int32_t> winners(device, outputs);
    Running r;
    r.run = [=](cudaStream_t stream) {
      kernels::max_pool(s, x.data(), y.data(), winners.data(), stream);
    };
    r.error = [=](cudaStream_t stream) {
      kernels::max_pool(s, x.data(), y.data(), winners.data(), stream);
      kernels::max_pool_reference(s, x.data(), expected.data(), winners.data(), stream);
      cudaStreamSynchronize(stream);
      return deviation(y, expected);
    };
    r.allowed = 0;
    return r;
  };
  return e;
}

}  // namespace

std::vector<Entry> loss_entries(bool tiny) {
  const std::int64_t rows = tiny ? 5 : 8192, vocabulary = tiny ? 37 : 50257;
  kernels::PoolShape pool{.samples = tiny ? 1 : 4, .channels = tiny ? 4 : 16};
  for (int d = 0; d < 3; ++d)
    pool.in[d] = tiny ? 4 : 128, pool.out[d] = pool.in[d] / 2, pool.kernel[d] = pool.stride[d] = 2;
  const std::string heads = std::to_string(rows) + " x " + std::to_string(vocabulary);
  const std::int64_t block = tiny ? rows : 1024;  // of rows of logits that exist at a time
  return {
      cross_entropy(block, vocabulary, std::to_string(block) + " x " + std::to_string(vocabulary)),
      embedding_backward({rows, vocabulary, tiny ? 8 : 768}, heads + " x 768"),
      max_pool(pool, tiny ? "1 x 4^3 x 4" : "4 x 128^3 x 16")};
}

}  // namespace lockstep::bench
