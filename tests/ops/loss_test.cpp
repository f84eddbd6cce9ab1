// Losses and metrics against their definitions in double.
#include "lockstep/ops/loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lockstep/core/error.h"
#include "ops/dense_support.h"
#include "ops/isas.h"

namespace lockstep::ops {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A batch with padding at its end, poisoned where nothing may be read.
struct Batch {
  std::int64_t samples, width, valid;
  Values outputs, targets, d_outputs;
  std::vector<std::int32_t> labels;
  Batch(std::int64_t samples, std::int64_t width, std::int64_t valid, float spread = 1)
      : samples(samples),
        width(width),
        valid(valid),
        outputs(random_values(samples * width, 1)),
        targets(random_values(samples * width, 2)),
        d_outputs(samples * width, kNan),
        labels(samples) {
    for (float& z : outputs) z *= spread;
    const RandomKey key{.seed = 3};
    for (std::int64_t n = 0; n < samples; ++n)
      labels[n] = static_cast<std::int32_t>(key.word(n) % width);
    std::fill(outputs.begin() + valid * width, outputs.end(), kNan);
    std::fill(targets.begin() + valid * width, targets.end(), kNan);
    std::fill(labels.begin() + valid, labels.end(), 1 << 30);
  }
  LossArgs args(bool classes, bool gradient = true) {
    return {samples,
            width,
            valid,
            outputs.data(),
            classes ? labels.data() : nullptr,
            classes ? nullptr : targets.data(),
            gradient ? d_outputs.data() : nullptr};
  }
};

void expect_padding_zero(const Batch& b) {
  for (std::int64_t i = b.valid * b.width; i < b.samples * b.width; ++i) {
    ASSERT_EQ(b.d_outputs[i], 0);
    ASSERT_FALSE(std::signbit(b.d_outputs[i]));
  }
}

void expect_cross_entropy(std::int64_t width, float spread) {
  Batch b(33, width, 31, spread);
  b.labels[4] = -1;
  LaneRecord record;
  compute_loss(LossKind::kSoftmaxCrossEntropy, b.args(true), record);
  double loss = 0;
  for (std::int64_t n = 0; n < b.valid; ++n) {
    const float* z = &b.outputs[n * width];
    double total = 0;
    const double largest = *std::max_element(z, z + width);
    for (std::int64_t i = 0; i < width; ++i) total += std::exp(z[i] - largest);
    if (n != 4) loss += largest + std::log(total) - z[b.labels[n]];
    for (std::int64_t i = 0; i < width; ++i) {
      const double p = std::exp(z[i] - largest) / total;
      const double want = n == 4 ? 0 : p - (i == b.labels[n]);
      ASSERT_TRUE(std::abs(b.d_outputs[n * width + i] - want) <= 4 * 0x1p-24) << n << " " << i;
    }
  }
  EXPECT_TRUE(std::abs(record.sums[0] - loss) <= 31 * (spread * 2 + 7) * 0x1p-24) << width;
  EXPECT_EQ(record.counts[0], 30);
  expect_padding_zero(b);
}

TEST(CrossEntropy, is_the_sum_over_valid_samples_with_its_gradient) {
  for (const std::int64_t width : {1, 2, 7, 31, 32, 33, 1000, 1023}) {
    for (const float spread : {1.0f, 50.0f}) {
      on_every_isa([=](Isa) { expect_cross_entropy(width, spread); });
    }
  }
}

TEST(CrossEntropy, has_the_same_bits_in_place_and_without_a_gradient) {
  on_every_isa([](Isa) {
    for (const std::int64_t width : {1, 7, 16, 33, 1024, 1025, 5003}) {
      Batch b(3, width, 3, 20);
      LaneRecord apart, in_place, evaluated;
      compute_loss(LossKind::kSoftmaxCrossEntropy, b.args(true), apart);
      compute_loss(LossKind::kSoftmaxCrossEntropy, b.args(true, false), evaluated);
      LossArgs args = b.args(true);
      args.d_outputs = b.outputs.data();
      compute_loss(LossKind::kSoftmaxCrossEntropy, args, in_place);
      EXPECT_EQ(b.outputs, b.d_outputs);
      EXPECT_EQ(in_place.sums, apart.sums);
      EXPECT_EQ(evaluated.sums, apart.sums);
    }
  });
}

TEST(CrossEntropy, survives_outputs_that_overflow_exp) {
  Batch b(2, 3, 2);
  b.outputs = {1000, 0, -1000, -3e38f, 3e38f, 0};
  b.labels = {1, 0};
  LaneRecord record;
  compute_loss(LossKind::kSoftmaxCrossEntropy, b.args(true), record);
  EXPECT_TRUE(std::isfinite(record.sums[0]));
  EXPECT_EQ(b.d_outputs, (Values{1, -1, 0, -1, 1, 0}));
  EXPECT_NEAR(record.sums[0], 1000 + 6e38, 1e32);
}

TEST(CrossEntropy, of_outputs_far_below_zero_is_that_of_their_differences) {
  on_every_isa([](Isa) {
    Batch b(1, 17, 1);
    std::fill(b.outputs.begin(), b.outputs.end(), -500.0f);
    LaneRecord record;
    compute_loss(LossKind::kSoftmaxCrossEntropy, b.args(true), record);
    EXPECT_NEAR(record.sums[0], std::log(17.0), 1e-12);
  });
}

TEST(CrossEntropy, shows_a_nan) {
  Batch b(3, 4, 3);
  b.outputs[5] = kNan;
  LaneRecord record;
  compute_loss(LossKind::kSoftmaxCrossEntropy, b.args(true), record);
  EXPECT_TRUE(std::isnan(record.sums[0]));
  EXPECT_TRUE(std::isnan(b.d_outputs[4]));
  EXPECT_TRUE(std::isfinite(b.d_outputs[3]));
}

// Loss and derivative of one value in double.
struct Definition {
  double loss, slope;
};
Definition definition(LossKind kind, double z, double t) {
  switch (kind) {
    case LossKind::kMse:
      return {(z - t) * (z - t), 2 * (z - t)};
    case LossKind::kMae:
      return {std::abs(z - t), z > t ? 1.0 : z < t ? -1.0 : 0.0};
    default: {
      const double p = 1 / (1 + std::exp(-z));
      return {std::max(z, 0.0) - z * t + std::log1p(std::exp(-std::abs(z))), p - t};
    }
  }
}

TEST(ValueLosses, are_sums_over_valid_values_with_their_gradients) {
  for (const LossKind kind : {LossKind::kMse, LossKind::kMae, LossKind::kBinaryCrossEntropy}) {
    for (const float spread : {1.0f, 200.0f}) {
      Batch b(33, 7, 32, spread);
      b.outputs[3] = b.targets[3] = 0.5f;  // met exactly
      LaneRecord record;
      compute_loss(kind, b.args(false), record);
      double loss = 0;
      for (std::int64_t i = 0; i < b.valid * b.width; ++i) {
        const auto [value, slope] = definition(kind, b.outputs[i], b.targets[i]);
        loss += value;
        ASSERT_TRUE(std::abs(b.d_outputs[i] - slope) <= 4 * 0x1p-24 * (std::abs(slope) + 1)) << i;
      }
      EXPECT_TRUE(std::abs(record.sums[0] - loss) <= 4 * 0x1p-24 * loss) << name_of(kind);
      EXPECT_EQ(record.counts[0], 32 * 7);
      expect_padding_zero(b);

      LaneRecord evaluated;
      compute_loss(kind, b.args(false, false), evaluated);
      EXPECT_EQ(evaluated.sums, record.sums);
    }
  }
}

TEST(Losses, of_a_lane_without_samples_are_zero) {
  for (const LossKind kind : {LossKind::kSoftmaxCrossEntropy, LossKind::kMse}) {
    Batch b(5, 3, 0);
    LaneRecord record;
    compute_loss(kind, b.args(kind == LossKind::kSoftmaxCrossEntropy), record);
    EXPECT_EQ(record.sums[0], 0);
    EXPECT_FALSE(std::signbit(record.sums[0]));
    EXPECT_EQ(record.counts[0], 0);
    expect_padding_zero(b);
  }
}

TEST(LaneRecord, adds_slot_by_slot) {
  LaneRecord a, b;
  for (int i = 0; i < LaneRecord::kSums; ++i) a.sums[i] = i, b.sums[i] = 0.5;
  for (int i = 0; i < LaneRecord::kCounts; ++i) a.counts[i] = i, b.counts[i] = 10;
  const LaneRecord c = add(a, b);
  for (int i = 0; i < LaneRecord::kSums; ++i) EXPECT_EQ(c.sums[i], i + 0.5);
  for (int i = 0; i < LaneRecord::kCounts; ++i) EXPECT_EQ(c.counts[i], i + 10);
}

double measured(const std::string& name, const LossArgs& args) {
  const Metric metric =
      make_metrics({"accuracy", name == "accuracy" ? "top2" : name}).at(name != "accuracy");
  LaneRecord record;
  measure(metric, args, record);
  return value(metric, record);
}

TEST(Accuracy, lets_the_lowest_index_win_a_tie_and_nan_never) {
  Batch b(6, 3, 5);
  b.outputs = {1, 1, 0, 1, 1, 0, 0, kNan, -1, kNan, -5, 2, 9, 9, 9, kNan, kNan, kNan};
  b.labels = {0, 1, 0, 0, -1, 0};
  // right (tie, lowest), wrong (tie), right (NaN does not win), wrong (NaN), ignored
  EXPECT_EQ(measured("accuracy", b.args(true)), 0.5);
  EXPECT_EQ(measured("top2", b.args(true)), 0.75);
}

TEST(Accuracy, of_float_targets_compares_signs_with_halves) {
  Batch b(5, 1, 4);
  b.outputs = {0.1f, -0.1f, 0, kNan, 5};
  b.targets = {1, 1, 0, 0, 0};
  EXPECT_EQ(measured("accuracy", b.args(false)), 0.5);
}

TEST(TopK, agrees_with_sorting) {
  Batch b(101, 31, 97);
  for (float& z : b.outputs) z = std::round(z * 4);  // many ties
  for (const int k : {1, 5, 31, 40}) {
    int hits = 0;
    for (std::int64_t n = 0; n < b.valid; ++n) {
      std::vector<int> order(31);
      for (int i = 0; i < 31; ++i) order[i] = i;
      const float* z = &b.outputs[n * 31];
      std::stable_sort(order.begin(), order.end(), [z](int i, int j) { return z[i] > z[j]; });
      const auto end = order.begin() + std::min(k, 31);
      hits += std::find(order.begin(), end, b.labels[n]) != end;
    }
    EXPECT_DOUBLE_EQ(measured(fmt::format("top{}", k), b.args(true)), hits / 97.0) << k;
  }
}

TEST(ValueMetrics, follow_their_definitions_far_from_zero) {
  for (const double mean : {0.0, 1e3}) {
    Batch b(1000, 3, 997);
    for (float& t : b.targets) t += mean;
    for (float& z : b.outputs) z = 0.5f * z + mean;
    double y = 0, total = 0, residual = 0, absolute = 0;
    const std::int64_t n = b.valid * b.width;
    for (std::int64_t i = 0; i < n; ++i) y += b.targets[i];
    for (std::int64_t i = 0; i < n; ++i) {
      const double r = static_cast<double>(b.targets[i]) - b.outputs[i];
      total += (b.targets[i] - y / n) * (b.targets[i] - y / n);
      residual += r * r;
      absolute += std::abs(r);
    }
    // n roundings of sums of y^2, of which only the spread about the mean is left.
    const double lost = n * 0x1p-53 * (1 + mean * mean * n / total);
    EXPECT_NEAR(measured("r2", b.args(false)), 1 - residual / total, residual / total * lost);
    EXPECT_NEAR(measured("mae", b.args(false)), absolute / n, 1e-12);
  }
}

TEST(Metrics, own_slots_of_their_own) {
  const auto metrics = make_metrics({"accuracy", "top5", "mae", "r2"});
  std::vector<int> sums = {0}, counts = {0};  // the loss's
  const int sum_widths[] = {0, 0, 1, 3}, count_widths[] = {2, 2, 1, 1};
  for (int m = 0; m < 4; ++m) {
    for (int i = 0; i < sum_widths[m]; ++i) sums.push_back(metrics[m].sum_slot + i);
    for (int i = 0; i < count_widths[m]; ++i) counts.push_back(metrics[m].count_slot + i);
  }
  for (auto* slots : {&sums, &counts}) {
    std::sort(slots->begin(), slots->end());
    EXPECT_TRUE(std::adjacent_find(slots->begin(), slots->end()) == slots->end());
    EXPECT_LT(slots->back(), LaneRecord::kSums);
  }
  EXPECT_EQ(metrics[1].name(), "top5");
  EXPECT_EQ(metrics[3].name(), "r2");
}

TEST(Perplexity, is_the_exponential_of_the_mean_loss_and_owns_no_slots) {
  Batch b(33, 31, 31, 3);
  b.labels[4] = -1;
  const auto metrics = make_metrics({"top2", "perplexity", "top3", "top4"});  // 7 counts
  LaneRecord record;
  compute_loss(LossKind::kSoftmaxCrossEntropy, b.args(true), record);
  for (const Metric& metric : metrics) measure(metric, b.args(true), record);
  EXPECT_EQ(metrics[1].name(), "perplexity");
  EXPECT_EQ(value(metrics[1], record), std::exp(record.sums[0] / 30));
  EXPECT_EQ(value(metrics[1], add(record, record)), value(metrics[1], record));
  EXPECT_EQ(value(metrics[1], LaneRecord{}), 0);
  check_metrics(LossKind::kSoftmaxCrossEntropy, metrics);
  EXPECT_THROW(make_metrics({"perplexity", "perplexity"}), UserError);
  for (const LossKind kind : {LossKind::kMse, LossKind::kMae, LossKind::kBinaryCrossEntropy}) {
    EXPECT_THROW(check_metrics(kind, make_metrics({"perplexity"})), UserError);
  }
}

TEST(Metrics, refuse_unknown_names_repetition_and_what_has_no_meaning) {
  EXPECT_THROW(make_metrics({"f1"}), UserError);
  EXPECT_THROW(make_metrics({"top0"}), UserError);
  EXPECT_THROW(make_metrics({"mae", "mae"}), UserError);
  EXPECT_THROW(make_metrics({"accuracy", "top2", "top3", "top4"}), UserError);
  EXPECT_THROW(check_metrics(LossKind::kSoftmaxCrossEntropy, make_metrics({"mae"})), UserError);
  EXPECT_THROW(check_metrics(LossKind::kMse, make_metrics({"accuracy"})), UserError);
  EXPECT_THROW(check_metrics(LossKind::kBinaryCrossEntropy, make_metrics({"top5"})), UserError);
  check_metrics(LossKind::kBinaryCrossEntropy, make_metrics({"accuracy"}));
  check_metrics(LossKind::kSoftmaxCrossEntropy, make_metrics({"accuracy", "top5"}));
}

TEST(Names, return_to_what_they_name) {
  for (const char* name : {"softmax_cross_entropy", "mse", "mae", "binary_cross_entropy"}) {
    EXPECT_EQ(name_of(loss_from(name)), name);
  }
  for (const char* name : {"fp32", "bf16"}) EXPECT_EQ(name_of(precision_from(name)), name);
  EXPECT_THROW(precision_from("fp16"), UserError);
  for (const char* name :
       {"none", "relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"}) {
    EXPECT_EQ(name_of(activation_from(name)), name);
  }
  EXPECT_THROW(loss_from("hinge"), UserError);
  EXPECT_THROW(activation_from("swish"), UserError);
}

}  // namespace
}  // namespace lockstep::ops
