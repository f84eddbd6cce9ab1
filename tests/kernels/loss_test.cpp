// Losses of single values against loops in double.
#include "kernels/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/device_array.h"

namespace lockstep::kernels {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

Floats uniform(std::int64_t n, unsigned seed, double low, double high) {
  std::mt19937 bits(seed);
  Floats x(n);
  for (float& value : x) value = static_cast<float>(low + (high - low) * (bits() / 4294967296.0));
  return x;
}

double loss_of(ValueLoss kind, double x, double t) {
  if (kind == ValueLoss::kSquared) return (x - t) * (x - t);
  if (kind == ValueLoss::kAbsolute) return std::abs(x - t);
  return std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::abs(x)));
}
double slope_of(ValueLoss kind, double x, double t) {
  if (kind == ValueLoss::kSquared) return 2 * (x - t);
  if (kind == ValueLoss::kAbsolute) return x > t ? 1 : x < t ? -1 : 0;
  return 1 / (1 + std::exp(-x)) - t;
}

TEST(ValueLoss, sums_losses_and_what_metrics_need) {
  for (const std::int64_t n : shapes_to_try<std::int64_t>(
           {1, 7, 31, 32, 33, 255, 1000, 1023, 2048, 2049, 5003}, {33, 2049})) {
    for (const ValueLoss kind : {ValueLoss::kSquared, ValueLoss::kAbsolute, ValueLoss::kLogistic}) {
      for (const bool reference : {false, true}) {
        SCOPED_TRACE(std::to_string(n) + " " + std::to_string(static_cast<int>(kind)));
        const Floats x = uniform(n, 1, -6, 6);
        Floats t = uniform(n, 2, 0, 1);
        if (n > 5) t[5] = x[5];  // no residual
        double want[5] = {1, 2, 3, 4, 5};
        std::int64_t hits = 6;
        for (std::int64_t i = 0; i < n; ++i) {
          const double r = double{t[i]} - x[i];
          want[0] += loss_of(kind, x[i], t[i]), want[1] += std::abs(r), want[2] += t[i];
          want[3] += double{t[i]} * t[i], want[4] += r * r;
          hits += (x[i] > 0) == (t[i] > 0.5f);
        }
        const DeviceArray<float> dx(x), dt(t), d(n);
        const DeviceArray<double> sums(Doubles{1, 2, 3, 4, 5});
        const DeviceArray<std::int64_t> hit(std::vector<std::int64_t>{6});
        const DeviceArray<char> workspace(value_loss_workspace(n));
        double* const s = sums.data();
        const ValueSums to{s, s + 1, s + 2, s + 3, s + 4, hit.data()};
        if (reference) {
          value_loss_reference(kind, dx.data(), dt.data(), d.data(), n, to, nullptr);
        } else {
          value_loss(kind, dx.data(), dt.data(), d.data(), n, to, workspace.data(), nullptr);
          workspace.host();
        }
        const Doubles got = sums.host();
        for (int i = 0; i < 5; ++i) EXPECT_NEAR(got[i], want[i], 1e-6 * n) << i;
        EXPECT_EQ(hit.host()[0], hits);
        const Floats gradient = d.host();
        for (std::int64_t i = 0; i < n; ++i) {
          ASSERT_NEAR(gradient[i], slope_of(kind, x[i], t[i]), 2e-6) << i << " " << x[i];
        }
      }
    }
  }
}

TEST(ValueLoss, without_metrics_and_gradient_adds_the_same_loss) {
  const std::int64_t n = 3001;
  const DeviceArray<float> x(uniform(n, 1, -2, 2)), t(uniform(n, 2, -2, 2)), d(n);
  const DeviceArray<double> all(Doubles{0, 0}), alone(Doubles{0});
  const DeviceArray<char> workspace(value_loss_workspace(n));
  ValueSums both{all.data(), all.data() + 1};
  value_loss(ValueLoss::kSquared, x.data(), t.data(), d.data(), n, both, workspace.data(), nullptr);
  value_loss(ValueLoss::kSquared, x.data(), t.data(), nullptr, n, {alone.data()}, workspace.data(),
             nullptr);
  EXPECT_EQ(all.host()[0], alone.host()[0]);
}

TEST(ValueLoss, lets_nan_through_and_counts_no_hit_for_it) {
  for (const ValueLoss kind : {ValueLoss::kSquared, ValueLoss::kAbsolute, ValueLoss::kLogistic}) {
    const DeviceArray<float> x(Floats{NAN, 3, -90}), t(Floats{0, 1, 0}), d(3);
    const DeviceArray<double> sum(Doubles{0});
    const DeviceArray<std::int64_t> hits(std::vector<std::int64_t>{0});
    const DeviceArray<char> workspace(value_loss_workspace(3));
    ValueSums to;
    to.loss = sum.data(), to.hits = hits.data();
    value_loss(kind, x.data(), t.data(), d.data(), 3, to, workspace.data(), nullptr);
    EXPECT_TRUE(std::isnan(sum.host()[0]));
    EXPECT_TRUE(std::isnan(d.host()[0]));
    EXPECT_EQ(hits.host()[0], 2);
  }
}

TEST(Counts, are_added) {
  const DeviceArray<std::int64_t> counts(std::vector<std::int64_t>{1, 2, 3});
  CountsToAdd add;
  add.add(counts.data(), 10);
  add.add(counts.data() + 2, 20);
  add_counts(add, nullptr);
  EXPECT_EQ(counts.host(), (std::vector<std::int64_t>{11, 2, 23}));
}

}  // namespace
}  // namespace lockstep::kernels
