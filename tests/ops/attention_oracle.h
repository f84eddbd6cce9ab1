// Attention by its definition (Vaswani et al. 2017, eq. 1), in double, with the whole matrix of
// probabilities, and its gradient by the chain rule.
#pragma once
#include <cmath>

#include "lockstep/ops/op.h"
#include "ops/run_op.h"

namespace lockstep::ops {

struct AttentionResult {
  Doubles output, d_qkv;
};

class AttentionOracle {
 public:
  // mask(element): what dropout multiplies that probability by.
  template <class Mask>
  static AttentionResult run(const Attention& d, const Floats& qkv, const Floats& d_output,
                             Mask mask) {
    const AttentionOracle o(d);
    AttentionResult r{Doubles(d_output.size()), Doubles(qkv.size())};
    for (std::int64_t n = 0; n < d.samples; ++n) {
      for (std::int64_t h = 0; h < d.heads; ++h) o.head(r, qkv, d_output, n, h, mask);
    }
    return r;
  }

 private:
  explicit AttentionOracle(const Attention& d) : d_(d) {}

  std::int64_t channels() const { return (d_.heads + 2 * d_.kv_heads) * d_.width; }
  std::int64_t at(std::int64_t n, std::int64_t t, std::int64_t head) const {
    return (n * d_.tokens + t) * channels() + head * d_.width;
  }

  // The pair (i, i + width / 2) of x turned by its angle at position t, or back.
  Doubles turned(Doubles x, std::int64_t t, double sign) const {
    if (d_.rotary == 0) return x;
    const std::int64_t half = d_.width / 2;
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle =
          sign * double(t) * std::pow(d_.rotary, -2.0 * double(i) / double(d_.width));
      const double a = x[i], b = x[i + half];
      x[i] = a * std::cos(angle) - b * std::sin(angle);
      x[i + half] = a * std::sin(angle) + b * std::cos(angle);
    }
    return x;
  }

  std::vector<Doubles> rows(const Floats& qkv, std::int64_t n, std::int64_t head, bool turn) const {
    std::vector<Doubles> all;
    for (std::int64_t t = 0; t < d_.tokens; ++t) {
      const auto from = qkv.begin() + at(n, t, head);
      Doubles x(from, from + d_.width);
      all.push_back(turn ? turned(x, t, 1) : x);
    }
    return all;
  }

  static double dot(const Doubles& a, const Doubles& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }
  static void add(Doubles& to, double factor, const Doubles& x) {
    for (std::size_t i = 0; i < x.size(); ++i) to[i] += factor * x[i];
  }
  void put(Doubles& d_qkv, std::int64_t n, std::int64_t head, const std::vector<Doubles>& all,
           bool turn) const {
    for (std::int64_t t = 0; t < d_.tokens; ++t) {
      const Doubles x = turn ? turned(all[t], t, -1) : all[t];
      for (std::int64_t i = 0; i < d_.width; ++i) d_qkv[at(n, t, head) + i] += x[i];
    }
  }

  template <class Mask>
  void head(AttentionResult& r, const Floats& qkv, const Floats& d_output, std::int64_t n,
            std::int64_t h, Mask mask) const {
    const std::int64_t g = d_.heads + h / (d_.heads / d_.kv_heads), tokens = d_.tokens;
    const double scale = 1 / std::sqrt(double(d_.width));
    const auto q = rows(qkv, n, h, true), k = rows(qkv, n, g, true);
    const auto v = rows(qkv, n, g + d_.kv_heads, false);
    std::vector<Doubles> dq(tokens, Doubles(d_.width)), dk = dq, dv = dq;
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t keys = d_.causal ? t + 1 : tokens;
      Doubles p(keys), dp(keys), factor(keys), out(d_.width), d_out(d_.width);
      const std::int64_t place = ((n * tokens + t) * d_.heads + h) * d_.width;
      for (std::int64_t i = 0; i < d_.width; ++i) d_out[i] = d_output[place + i];
      double largest = -INFINITY, total = 0, mean = 0;
      for (std::int64_t j = 0; j < keys; ++j) {
        p[j] = dot(q[t], k[j]) * scale;
        largest = std::max(largest, p[j]);
      }
      for (double& x : p) total += x = std::exp(x - largest);
      for (std::int64_t j = 0; j < keys; ++j) {
        p[j] /= total;
        factor[j] = mask(((n * d_.heads + h) * tokens + t) * tokens + j);
        dp[j] = factor[j] * dot(d_out, v[j]);
        mean += p[j] * dp[j];
        add(out, p[j] * factor[j], v[j]);
        add(dv[j], p[j] * factor[j], d_out);
      }
      for (std::int64_t j = 0; j < keys; ++j) {
        const double ds = p[j] * (dp[j] - mean) * scale;
        add(dq[t], ds, k[j]);
        add(dk[j], ds, q[t]);
      }
      for (std::int64_t i = 0; i < d_.width; ++i) r.output[place + i] = out[i];
    }
    put(r.d_qkv, n, h, dq, true);
    put(r.d_qkv, n, g, dk, true);
    put(r.d_qkv, n, g + d_.kv_heads, dv, false);
  }

  Attention d_;
};

}  // namespace lockstep::ops
