// The loss head against the whole softmax in double, and against the loss and metrics of logits
// that exist all at once.
#include "lockstep/ops/loss_head.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/dense_support.h"

namespace lockstep::ops {
namespace {

float bf16(float x) {  // nearest, even
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

struct HeadCase {
  LinearCrossEntropy d;
  std::int64_t valid;
  Values x, w, b;
  std::vector<std::int32_t> labels;
  explicit HeadCase(const LinearCrossEntropy& d, std::int64_t valid)
      : d(d),
        valid(valid),
        x(random_values(d.rows * d.in, 1)),
        w(random_values(d.classes * d.in, 2)),
        b(random_values(d.bias ? d.classes : 0, 3)),
        labels(d.rows, 1 << 30) {
    const RandomKey key{.seed = 4};
    for (std::int64_t n = 0; n < valid; ++n) {
      labels[n] = n % 5 == 3 ? -1 : static_cast<std::int32_t>(key.word(n) % d.classes);
    }
    std::fill(x.begin() + valid * d.in, x.end(), NAN);
  }
};

struct HeadResult {
  LaneRecord record;
  Values d_x, d_w, d_b;
};

HeadResult run_head(const HeadCase& c, const std::vector<Metric>& metrics = {},
                    bool gradients = true) {
  const auto head = make_loss_head(cpu_device(), c.d);
  const Lines x(c.x, 0), w(c.w, 0), b(c.b, 0), packed(head->packed_bytes());
  const Lines workspace(head->workspace_bytes());
  const Lines d_x(c.x.size() * 4), d_w(c.w.size() * 4), d_b(c.b.size() * 4);
  const float* parameters[] = {w.floats(), b.floats()};
  float* d_parameters[] = {d_w.floats(), d_b.floats()};
  head->pack(parameters, packed.data(), nullptr);
  HeadArgs args{x.floats(), c.labels.data(), c.valid, parameters, packed.data()};
  if (gradients) args.d_x = d_x.floats(), args.d_parameters = d_parameters;
  args.workspace = workspace.data();
  HeadResult r;
  r.record.sums[0] = 0.5, r.record.counts[0] = 10;  // it adds
  head->run(args, metrics, &r.record);
  r.record.sums[0] -= 0.5, r.record.counts[0] -= 10;
  r.d_x = d_x.values(), r.d_w = d_w.values(), r.d_b = d_b.values();
  return r;
}

// Everything in double, and of each gradient the sum of the magnitudes that it adds.
struct Oracle {
  double loss = 0;
  std::int64_t counted = 0;
  std::vector<double> d_x, d_w, d_b, size_x, size_w, size_b;
};
Oracle oracle(const HeadCase& c) {
  const auto [rows, in, classes, bias, precision] = c.d;
  const auto factor = [&](float v) { return precision == Precision::kBf16 ? bf16(v) : v; };
  Oracle o;
  o.d_x.resize(rows * in), o.size_x.resize(rows * in);
  o.d_w.resize(classes * in), o.size_w.resize(classes * in);
  o.d_b.resize(c.b.size()), o.size_b.resize(c.b.size());
  for (std::int64_t n = 0; n < c.valid; ++n) {
    if (c.labels[n] == -1) continue;
    std::vector<double> z(classes);
    for (std::int64_t k = 0; k < classes; ++k) {
      z[k] = bias ? c.b[k] : 0;
      for (std::int64_t i = 0; i < in; ++i) {
        z[k] += double(factor(c.x[n * in + i])) * factor(c.w[k * in + i]);
      }
    }
    const double largest = *std::max_element(z.begin(), z.end());
    double total = 0;
    for (double v : z) total += std::exp(v - largest);
    o.loss += std::log(total) + largest - z[c.labels[n]];
    ++o.counted;
    for (std::int64_t k = 0; k < classes; ++k) {
      const bool own = k == c.labels[n];
      const double p = std::exp(z[k] - largest) / total, d = p - own, size = p + own;
      for (std::int64_t i = 0; i < in; ++i) {
        const double w = factor(c.w[k * in + i]), x = factor(c.x[n * in + i]);
        o.d_x[n * in + i] += d * w, o.size_x[n * in + i] += size * std::abs(w);
        o.d_w[k * in + i] += d * x, o.size_w[k * in + i] += size * std::abs(x);
      }
      if (bias) o.d_b[k] += d, o.size_b[k] += size;
    }
  }
  return o;
}

// unit: of the rounding of a product's factors.
void expect_near(const Values& got, const std::vector<double>& want,
                 const std::vector<double>& size, double unit, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(std::abs(got[i] - want[i]) <= unit * size[i] + 1e-30)
        << what << "[" << i << "] is " << got[i] << ", not " << want[i];
  }
}

constexpr std::int64_t kShapes[][3] = {  // rows, in, classes; the last two in several blocks
    {1, 1, 1},   {1, 7, 2},     {7, 31, 33},  {31, 33, 7},
    {33, 32, 31}, {32, 1000, 65}, {1201, 17, 509}, {601, 33, 1000}};

TEST(LossHead, follows_the_whole_softmax_in_double) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const bool bias : {false, true}) {
      for (const auto& [rows, in, classes] : kShapes) {
        for (const std::int64_t valid : {rows, rows - rows / 3}) {
          SCOPED_TRACE(fmt::format("{} {} x {} -> {}, {} valid", name_of(precision), rows, in,
                                   classes, valid));
          const HeadCase c({rows, in, classes, bias, precision}, valid);
          const HeadResult r = run_head(c);
          const Oracle o = oracle(c);
          const double unit = 16 * 0x1p-24 * std::sqrt(double(in + rows));
          // d_logits are factors of both products.
          const double factors = precision == Precision::kBf16 ? 0x1p-8 + 2 * unit : unit;
          EXPECT_EQ(r.record.counts[0], o.counted);
          EXPECT_TRUE(std::abs(r.record.sums[0] - o.loss) <= unit * (o.loss + double(o.counted)));
          expect_near(r.d_x, o.d_x, o.size_x, factors, "dx");
          expect_near(r.d_w, o.d_w, o.size_w, factors, "dW");
          expect_near(r.d_b, o.d_b, o.size_b, unit, "db");
          for (std::int64_t i = valid * in; i < rows * in; ++i) {
            ASSERT_FALSE(std::signbit(r.d_x[i]));
          }
        }
      }
    }
  }
}

// Whole numbers, so that the logits are exact however they are summed.
TEST(LossHead, gives_the_bits_of_the_loss_and_metrics_of_whole_logits) {
  const auto metrics = make_metrics({"accuracy", "perplexity", "top5"});
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const auto& [rows, in, classes] : kShapes) {
      HeadCase c({rows, in, classes, true, precision}, rows - rows / 5);
      for (Values* values : {&c.x, &c.w, &c.b}) {
        for (float& v : *values) v = std::round(2 * v);
      }
      Values logits(rows * classes), d_logits(rows * classes);
      for (std::int64_t n = 0; n < c.valid; ++n) {
        for (std::int64_t k = 0; k < classes; ++k) {
          float& z = logits[n * classes + k] = c.b[k];
          for (std::int64_t i = 0; i < in; ++i) z += c.x[n * in + i] * c.w[k * in + i];
        }
      }
      const LossArgs args{rows,           classes, c.valid,        logits.data(),
                          c.labels.data(), nullptr, d_logits.data()};
      LaneRecord want;
      compute_loss(LossKind::kSoftmaxCrossEntropy, args, want);
      for (const Metric& metric : metrics) measure(metric, args, want);
      const HeadResult r = run_head(c, metrics), evaluated = run_head(c, metrics, false);
      EXPECT_TRUE(std::abs(r.record.sums[0] - want.sums[0]) <= 0x1p-50 * (1 + want.sums[0]));
      EXPECT_EQ(r.record.counts, want.counts) << rows << " " << classes;
      EXPECT_EQ(evaluated.record.sums, r.record.sums);
      EXPECT_EQ(evaluated.record.counts, r.record.counts);
      EXPECT_TRUE(std::isnan(evaluated.d_x[0]) && std::isnan(evaluated.d_w[0]));
    }
  }
}

TEST(LossHead, shows_a_nan_where_it_is) {
  HeadCase c({600, 17, 1009, false}, 599);
  c.x[3 * 17] = NAN;
  c.labels[3] = 0;
  const HeadResult r = run_head(c);
  EXPECT_TRUE(std::isnan(r.record.sums[0]));
  EXPECT_TRUE(std::isnan(r.d_x[3 * 17]));
  EXPECT_TRUE(std::isnan(r.d_w[0]));
  EXPECT_FALSE(std::isnan(r.d_x[2 * 17]) || std::isnan(r.d_x[4 * 17]));
  HeadCase broken({33, 17, 7, false}, 33);
  broken.w[20] = NAN;
  EXPECT_TRUE(std::isnan(run_head(broken).record.sums[0]));
}

TEST(LossHead, of_a_lane_without_samples_is_zero) {
  const HeadResult r = run_head(HeadCase({33, 7, 31, true}, 0));
  EXPECT_EQ(r.record.sums[0], 0);
  EXPECT_EQ(r.record.counts[0], 0);
  for (const Values* values : {&r.d_x, &r.d_w, &r.d_b}) {
    for (float v : *values) ASSERT_TRUE(v == 0 && !std::signbit(v));
  }
}

TEST(LossHead, refuses_labels_outside_the_classes) {
  HeadCase c({7, 3, 5, false}, 7);
  c.labels[2] = 5;
  EXPECT_ANY_THROW(run_head(c));
}

TEST(LossHead, keeps_the_logits_of_a_block_only) {
  for (const std::int64_t classes : {50257, 600011}) {
    const LinearCrossEntropy d{1 << 20, 1, classes};
    EXPECT_LE(make_loss_head(cpu_device(), d)->workspace_bytes(), std::size_t{80} << 20);
  }
}

}  // namespace
}  // namespace lockstep::ops
