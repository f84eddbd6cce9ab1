// Matrix products and attention at the sizes of GPT-2 124M, 8 sequences of 1024 tokens.
#include <cmath>

#include "entry.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"
#include "kernels/rotary.h"
#include "memory.h"

namespace lockstep::bench {
namespace {

using bf16 = __nv_bfloat16;

Entry product(const char* name, std::int64_t m, std::int64_t n, std::int64_t k, bool a_transposed,
              bool b_transposed) {
  Entry e;
  e.name = name;
  e.shape = std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k);
  e.bytes = 2.0 * (m * k + k * n) + 4.0 * m * n;
  e.flops = 2.0 * m * n * k;
  e.arithmetic = Arithmetic::kBf16;
  e.build = [=](Device& device) {
    const auto a = random_array<bf16>(device, m * k, 1), b = random_array<bf16>(device, k * n, 2);
    const Array<float> c(device, m * n), expected(device, m * n);
    kernels::GemmBf16 g{m, n, k, a.data(), b.data(), a_transposed, b_transposed};
    Running r;
    r.run = [a, b, c, g](cudaStream_t stream) { kernels::gemm_bf16(g, c.data(), stream); };
    r.error = [a, b, c, g, expected](cudaStream_t stream) {
      kernels::gemm_bf16(g, c.data(), stream);
      kernels::gemm_bf16_reference(g, expected.data(), stream);
      cudaStreamSynchronize(stream);
      return deviation(c, expected);
    };
    return r;
  };
  return e;
}

// Everything that attention reads and writes, forward and backward.
template <class T>
struct Heads {
  Heads(Device& device, const kernels::AttentionShape& shape)
      : s(shape), step(kernels::head_step<T>(s.width)) {
    const std::int64_t rows = s.samples * s.heads * s.tokens;
    const auto make = [&](std::uint64_t seed) {
      return random_array<T>(device, rows * step, seed);
    };
    q = make(1), k = make(2), v = make(3), d_heads = make(4);
    d_output = random_array(device, rows * s.width, 5);
    output = Array<float>(device, rows * s.width);
    expected = Array<float>(device, rows * s.width);
    log_sums = Array<float>(device, rows), dots = Array<float>(device, rows);
    dq = Array<float>(device, rows * step), dk = Array<float>(device, rows * step);
    dv = Array<float>(device, rows * step);
  }
  void forward(cudaStream_t stream) const {
    kernels::attention_forward(s, q.data(), k.data(), v.data(), output.data(), log_sums.data(),
                               stream);
  }
  void backward(cudaStream_t stream) const {
    kernels::attention_backward(s, q.data(), k.data(), v.data(), d_heads.data(), log_sums.data(),
                                dots.data(), {dq.data(), dk.data(), dv.data()}, stream);
  }
  void prepare(cudaStream_t stream) const {
    forward(stream);
    kernels::attention_dots(s, output.data(), d_output.data(), dots.data(), d_heads.data(), stream);
  }
  kernels::AttentionShape s;
  std::int64_t step;
  Array<T> q, k, v, d_heads;
  Array<float> d_output, output, expected, log_sums, dots, dq, dk, dv;
};

// Against the same kernel in fp32 on the same (rounded) numbers.
template <class T>
double forward_error(Device& device, const Heads<T>& h, cudaStream_t stream) {
  const auto widen = [&](const Array<T>& x) {
    std::vector<float> values;
    for (const T value : x.download()) values.push_back(static_cast<float>(value));
    Array<float> out(device, x.size());
    out.upload(values);
    return out;
  };
  const auto q = widen(h.q), k = widen(h.k), v = widen(h.v);
  h.forward(stream);
  kernels::attention_forward_reference(h.s, q.data(), k.data(), v.data(), h.expected.data(),
                                       h.log_sums.data(), stream);
  cudaStreamSynchronize(stream);
  return deviation(h.output, h.expected);
}

template <class T>
Entry attention(const char* name, const kernels::AttentionShape& s, bool backward) {
  Entry e;
  const double rows = static_cast<double>(s.samples * s.heads * s.tokens);
  const double pairs = rows * static_cast<double>(s.tokens + 1) / 2;  // causal
  e.name = name;
  e.shape = std::to_string(s.samples) + " x " + std::to_string(s.heads) + " x " +
            std::to_string(s.tokens) + " x " + std::to_string(s.width);
  e.flops = (backward ? 14.0 : 4.0) * s.width * pairs;
  e.bytes = rows * s.width * (backward ? 4.0 * sizeof(T) + 12 : 3.0 * sizeof(T) + 4);
  e.arithmetic = sizeof(T) == 2 ? Arithmetic::kBf16 : Arithmetic::kFp32;
  e.build = [=](Device& device) {
    const Heads<T> h(device, s);
    Running r;
    r.allowed = sizeof(T) == 2 ? 2e-2 : 1e-5;
    if (!backward) {
      r.run = [=](cudaStream_t stream) { h.forward(stream); };
      r.error = [=, &device](cudaStream_t stream) { return forward_error(device, h, stream); };
    } else {
      r.run = [=](cudaStream_t stream) { h.backward(stream); };
      // Its values are checked by the tests; here: that it gives numbers.
      r.error = [=](cudaStream_t stream) {
        h.prepare(stream);
        h.backward(stream);
        cudaStreamSynchronize(stream);
        return std::isfinite(deviation(h.dq, h.dq)) ? 0.0 : NAN;
      };
    }
    return r;
  };
  return e;
}

}  // namespace

std::vector<Entry> attention_entries(bool tiny) {
  const std::int64_t rows = tiny ? 32 : 8192, width = tiny ? 16 : 768;
  const kernels::AttentionShape heads{.samples = tiny ? 1 : 8,
                                      .tokens = tiny ? 16 : 1024,
                                      .heads = tiny ? 1 : 12,
                                      .kv_heads = tiny ? 1 : 12,
                                      .width = 64};
  return {product("gemm forward bf16", rows, 4 * width, width, false, true),
          product("gemm data bf16", rows, width, 4 * width, false, false),
          product("gemm weights bf16", 4 * width, width, rows, true, false),
          attention<bf16>("attention forward bf16", heads, false),
          attention<bf16>("attention backward bf16", heads, true),
          attention<float>("attention forward fp32", heads, false),
          attention<float>("attention backward fp32", heads, true)};
}

}  // namespace lockstep::bench
