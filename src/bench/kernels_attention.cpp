// Attention. Verified on its first and its last head by the definition (Vaswani et al. 2017, eq. 1)
// with the whole matrix of probabilities, in double; of the others it is looked at that they are
// finite.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/kernel.h"
#include "bench/op_memory.h"
#include "bench/reference.h"
#include "lockstep/ops/precision.h"

namespace lockstep::bench {
namespace {

using Doubles = std::vector<double>;

// One head of one sample: queries, keys, values and their gradients, [tokens, width] each.
class Head {
 public:
  Head(const ops::Attention& d, std::int64_t sample, std::int64_t head)
      : d_(d), sample_(sample), head_(head) {}

  void compute(const Floats& qkv, const Floats& d_output) {
    q_ = taken(qkv, channels(), head_);
    k_ = taken(qkv, channels(), key_head());
    v_ = taken(qkv, channels(), key_head() + d_.kv_heads);
    const Doubles dy = taken(d_output, d_.heads * d_.width, head_);
    output.assign(q_.size(), 0), dq.assign(q_.size(), 0), dk = dv = dq;
    for (std::int64_t t = 0; t < d_.tokens; ++t) token(t, dy.data() + t * d_.width);
  }

  std::string check_output(const Floats& got, double allowed) const {
    return difference("y", narrowed(got, d_.heads * d_.width, head_), output, allowed);
  }
  std::string check_gradient(const Floats& got, double allowed) const {
    double largest = 1;
    for (const Doubles* of : {&dq, &dk, &dv})
      for (const double x : *of) largest = std::max(largest, std::fabs(x));
    allowed *= largest;
    return first_of(
        {difference("dq", narrowed(got, channels(), head_), dq, allowed),
         difference("dk", narrowed(got, channels(), key_head()), dk, allowed),
         difference("dv", narrowed(got, channels(), key_head() + d_.kv_heads), dv, allowed)});
  }

  Doubles output, dq, dk, dv;

 private:
  std::int64_t channels() const { return (d_.heads + 2 * d_.kv_heads) * d_.width; }
  std::int64_t key_head() const { return d_.heads + head_ / (d_.heads / d_.kv_heads); }

  Floats narrowed(const Floats& from, std::int64_t row, std::int64_t place) const {
    Floats part;
    for (std::int64_t t = 0; t < d_.tokens; ++t) {
      const auto at = from.begin() + (sample_ * d_.tokens + t) * row + place * d_.width;
      part.insert(part.end(), at, at + d_.width);
    }
    return part;
  }
  Doubles taken(const Floats& from, std::int64_t row, std::int64_t place) const {
    const Floats part = narrowed(from, row, place);
    return {part.begin(), part.end()};
  }
  double dot(const double* a, const double* b) const {
    double sum = 0;
    for (std::int64_t i = 0; i < d_.width; ++i) sum += a[i] * b[i];
    return sum;
  }
  void add(double* to, double factor, const double* x) const {
    for (std::int64_t i = 0; i < d_.width; ++i) to[i] += factor * x[i];
  }

  void token(std::int64_t t, const double* dy) {
    const std::int64_t w = d_.width, keys = d_.causal ? t + 1 : d_.tokens;
    const double scale = 1 / std::sqrt(static_cast<double>(w));
    Doubles p(keys), dp(keys);
    double largest = -INFINITY, total = 0, mean = 0;
    for (std::int64_t j = 0; j < keys; ++j) {
      p[j] = dot(&q_[t * w], &k_[j * w]) * scale;
      largest = std::max(largest, p[j]);
    }
    for (double& x : p) total += x = std::exp(x - largest);
    for (std::int64_t j = 0; j < keys; ++j) {
      p[j] /= total;
      dp[j] = dot(dy, &v_[j * w]);
      mean += p[j] * dp[j];
      add(&output[t * w], p[j], &v_[j * w]);
      add(&dv[j * w], p[j], dy);
    }
    for (std::int64_t j = 0; j < keys; ++j) {
      const double ds = p[j] * (dp[j] - mean) * scale;
      add(&dq[t * w], ds, &k_[j * w]);
      add(&dk[j * w], ds, &q_[t * w]);
    }
  }

  const ops::Attention d_;
  const std::int64_t sample_, head_;
  Doubles q_, k_, v_;
};

// Heads do not share keys here, so that the gradient of a head's keys is its own.
struct Checked {
  Checked(Device& device, const ops::Attention& d)
      : d(d),
        memory(device, make(device, d),
               {.inputs = {d.samples * d.tokens * (d.heads + 2 * d.kv_heads) * d.width},
                .output = d.samples * d.tokens * d.heads * d.width,
                .bf16 = d.precision == ops::Precision::kBf16}),
        heads{{d, 0, 0}, {d, d.samples - 1, d.heads - 1}} {}

  void reference() {
    if (!heads[0].output.empty()) return;
    for (Head& head : heads) head.compute(memory.input(0), memory.d_output());
  }
  // Scores are sums over the width, outputs over the tokens. Probabilities, and the gradients of
  // scores, are rounded to bf16 before they are factors.
  double allowed() const {
    return d.precision == ops::Precision::kBf16
               ? 0x1p-6
               : 4 * sum_allowance(static_cast<double>(d.width + d.tokens));
  }
  std::string check_forward() {
    reference();
    memory.forward();
    const Floats y = memory.output();
    return first_of({finite("y", y), heads[0].check_output(y, allowed()),
                     heads[1].check_output(y, allowed())});
  }
  std::string check_backward() {
    reference();
    memory.forward();
    memory.backward();
    const Floats d_qkv = memory.d_input(0);
    return first_of({finite("d_qkv", d_qkv), heads[0].check_gradient(d_qkv, allowed()),
                     heads[1].check_gradient(d_qkv, allowed())});
  }
  static std::string finite(const char* what, const Floats& x) {
    const auto bad = std::ranges::find_if(x, [](float v) { return !std::isfinite(v); });
    return bad == x.end() ? "" : fmt::format("{}[{}] is {}", what, bad - x.begin(), *bad);
  }

  const ops::Attention d;
  OpMemory memory;
  Head heads[2];
};

std::vector<Kernel> attention_kernels(Device& device, const ops::Attention& d) {
  const auto c = std::make_shared<Checked>(device, d);
  const ops::Cost cost = c->memory.op().cost();
  const auto settle = [c] { c->memory.settle(); };
  std::vector<Kernel> kernels;
  kernels.push_back({"forward", d.precision, cost.forward_flops, cost.forward_bytes,
                     [c] { c->memory.forward(); }, settle, [c] { return c->check_forward(); }});
  kernels.push_back({"backward", d.precision, cost.backward_flops, cost.backward_bytes,
                     [c] { c->memory.backward(); }, settle, [c] { return c->check_backward(); }});
  return kernels;
}

Subject attention(std::int64_t samples, std::int64_t tokens, std::int64_t heads, std::int64_t width,
                  ops::Precision precision) {
  const ops::Attention d{.samples = samples,
                         .tokens = tokens,
                         .heads = heads,
                         .kv_heads = heads,
                         .width = width,
                         .precision = precision};
  return {"attention",
          fmt::format("{} x {} tokens, {} heads of {} {}", samples, tokens, heads, width,
                      name_of(precision)),
          [d](Device& device) { return attention_kernels(device, d); }};
}

}  // namespace

std::vector<Subject> attention_subjects(const Device& device) {
  const bool cuda = device.kind() == DeviceKind::kCuda;
  std::vector<Subject> all;
  for (const ops::Precision precision : {ops::Precision::kFp32, ops::Precision::kBf16}) {
    if (precision == ops::Precision::kBf16 && !cuda && !ops::has_bf16_arithmetic()) continue;
    all.push_back(attention(1, 64, 2, 32, precision));
    all.push_back(attention(8, 256, 6, 64, precision));    // the gpt preset
    all.push_back(attention(1, 1024, 12, 64, precision));  // GPT-2 124M
    all.push_back(attention(1, 512, 4, 128, precision));   // heads as wide as Llama's
  }
  return all;
}

}  // namespace lockstep::bench
