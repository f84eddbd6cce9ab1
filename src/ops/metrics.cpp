// Metrics of one microbatch as unnormalised sums, and their values from the folded record.
#include <array>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/ops/loss.h"
#include "ops/cpu/kernels.h"

namespace lockstep::ops {
namespace {

constexpr int kMaxTop = 99;

std::string_view top_name(int k) {
  static const auto names = [] {
    std::array<std::string, kMaxTop + 1> all;
    for (int i = 1; i <= kMaxTop; ++i) all[i] = fmt::format("top{}", i);
    return all;
  }();
  return names[k];
}

// Sums and counts that a metric owns: hits and total; |residual| and values; y, y^2, residual^2 and
// values.
struct Slots {
  int sums, counts;
};
Slots slots_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::kMae:
      return {1, 1};
    case MetricKind::kR2:
      return {3, 1};
    case MetricKind::kPerplexity:
      return {0, 0};
    case MetricKind::kAccuracy:
    case MetricKind::kTopK:
      break;
  }
  return {0, 2};
}

Metric metric_from(const std::string& name) {
  if (name == "accuracy") return {MetricKind::kAccuracy};
  if (name == "mae") return {MetricKind::kMae};
  if (name == "r2") return {MetricKind::kR2};
  if (name == "perplexity") return {MetricKind::kPerplexity};
  for (int k = 1; k <= kMaxTop; ++k) {
    if (name == top_name(k)) return {MetricKind::kTopK, k};
  }
  throw UserError(
      "'{}' is not a metric; use accuracy, top5 (any number up to {}), perplexity, mae or r2", name,
      kMaxTop);
}

// Whether fewer than k classes come before the label: larger outputs, and equal ones of a lower
// index. A NaN comes before nothing, and as the label's own output it never wins.
bool among_top(const float* z, std::int64_t width, std::int64_t label, int k) {
  return !std::isnan(z[label]) && kernels().rank_of(z, width, label) < k;
}

void count_hits(const Metric& metric, const LossArgs& args, LaneRecord& record) {
  std::int64_t hits = 0, total = 0;
  if (args.labels != nullptr) {
    for (std::int64_t n = 0; n < args.valid; ++n) {
      if (args.labels[n] == -1) continue;
      hits += among_top(args.outputs + n * args.width, args.width, args.labels[n], metric.k);
      ++total;
    }
  } else {  // each value on its own is a yes or a no
    total = args.valid * args.width;
    for (std::int64_t i = 0; i < total; ++i) {
      const bool known = !std::isnan(args.outputs[i]);
      hits += known && (args.outputs[i] > 0) == (args.targets[i] > 0.5f);
    }
  }
  record.counts[metric.count_slot] = hits;
  record.counts[metric.count_slot + 1] = total;
}

void sum_residuals(const Metric& metric, const LossArgs& args, LaneRecord& record) {
  const std::int64_t values = args.valid * args.width;
  double y = 0, y2 = 0, r2 = 0, absolute = 0;
  for (std::int64_t i = 0; i < values; ++i) {
    const double t = args.targets[i], r = t - args.outputs[i];
    y += t;
    y2 += t * t;
    r2 += r * r;
    absolute += std::abs(r);
  }
  double* sums = &record.sums[metric.sum_slot];
  if (metric.kind == MetricKind::kMae) {
    sums[0] = absolute;
  } else {
    sums[0] = y;
    sums[1] = y2;
    sums[2] = r2;
  }
  record.counts[metric.count_slot] = values;
}

}  // namespace

std::string_view Metric::name() const {
  switch (kind) {
    case MetricKind::kAccuracy:
      return "accuracy";
    case MetricKind::kMae:
      return "mae";
    case MetricKind::kR2:
      return "r2";
    case MetricKind::kPerplexity:
      return "perplexity";
    case MetricKind::kTopK:
      break;
  }
  return top_name(k);
}

std::vector<Metric> make_metrics(const std::vector<std::string>& names) {
  std::vector<Metric> metrics;
  int sum = 1, count = 1;  // 0 is the loss
  for (const std::string& name : names) {
    Metric metric = metric_from(name);
    for (const Metric& other : metrics) {
      if (other.name() == metric.name())
        throw UserError("the metric '{}' is asked for twice", name);
    }
    const Slots slots = slots_of(metric.kind);
    metric.sum_slot = metric.kind == MetricKind::kPerplexity ? 0 : sum;  // the loss's own
    metric.count_slot = metric.kind == MetricKind::kPerplexity ? 0 : count;
    sum += slots.sums;
    count += slots.counts;
    if (sum > LaneRecord::kSums || count > LaneRecord::kCounts) {
      throw UserError("{} metrics are too many at once; leave some out from '{}' on", names.size(),
                      name);
    }
    metrics.push_back(metric);
  }
  return metrics;
}

void check_metrics(LossKind loss, const std::vector<Metric>& metrics) {
  const bool classes = loss == LossKind::kSoftmaxCrossEntropy;
  for (const Metric& metric : metrics) {
    const bool on_values = metric.kind == MetricKind::kMae || metric.kind == MetricKind::kR2;
    const bool fits = metric.kind == MetricKind::kAccuracy
                          ? classes || loss == LossKind::kBinaryCrossEntropy
                          : on_values != classes;  // perplexity: classes
    if (!fits) {
      throw UserError("the metric '{}' has no meaning with the loss '{}'; use {}", metric.name(),
                      name_of(loss),
                      classes                                 ? "accuracy, top5 or perplexity"
                      : loss == LossKind::kBinaryCrossEntropy ? "accuracy, mae or r2"
                                                              : "mae or r2");
    }
  }
}

void measure(const Metric& metric, const LossArgs& args, LaneRecord& record) {
  if (metric.kind == MetricKind::kPerplexity) return;  // the loss is there
  if (metric.kind == MetricKind::kAccuracy || metric.kind == MetricKind::kTopK) {
    count_hits(metric, args, record);
  } else {
    LOCKSTEP_CHECK(args.targets != nullptr, "{} needs values", metric.name());
    sum_residuals(metric, args, record);
  }
}

// R2 = 1 - sum r^2 / (sum y^2 - (sum y)^2 / n). Squares of floats are exact in double; the
// denominator keeps about 14 - 2 log10(mean / deviation) digits (measured: 7 at a mean of 1700
// deviations). Constant targets: 1 if met exactly, else 0.
double value(const Metric& metric, const LaneRecord& folded) {
  const double* sums = &folded.sums[metric.sum_slot];
  const std::int64_t* counts = &folded.counts[metric.count_slot];
  if (metric.kind == MetricKind::kAccuracy || metric.kind == MetricKind::kTopK) {
    return counts[1] == 0 ? 0 : static_cast<double>(counts[0]) / static_cast<double>(counts[1]);
  }
  if (counts[0] == 0) return 0;
  const auto n = static_cast<double>(counts[0]);
  if (metric.kind == MetricKind::kPerplexity) return std::exp(sums[0] / n);
  if (metric.kind == MetricKind::kMae) return sums[0] / n;
  const double spread = sums[1] - sums[0] * sums[0] / n;
  if (spread <= 0) return sums[2] == 0 ? 1 : 0;
  return 1 - sums[2] / spread;
}

}  // namespace lockstep::ops
