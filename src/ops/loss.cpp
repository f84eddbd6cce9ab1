// Losses of one microbatch and their gradients, sample by sample: float arithmetic for a value,
// double for the sum over samples, in order.
#include "lockstep/ops/loss.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "lockstep/core/error.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cross_entropy.h"

namespace lockstep::ops {
namespace {

constexpr std::array<std::string_view, 4> kLossNames = {"softmax_cross_entropy", "mse", "mae",
                                                        "binary_cross_entropy"};

// -log softmax(z)[label] = log(sum exp(z - max)) - (z[label] - max); gradient softmax(z) - one hot.
double cross_entropy(const float* z, std::int64_t width, std::int64_t label, float* d) {
  const float own = z[label];  // d may be z
  float largest;
  const double total = kernels().softmax_terms(d, z, width, &largest);
  if (d != nullptr) {
    kernels().scale(d, static_cast<float>(1 / total), width);
    d[label] -= 1.0f;
  }
  return std::log(total) - (static_cast<double>(own) - largest);
}

// Of one value against its target: the loss, and its derivative in d.
double squared_error(float z, float t, float& d) {
  const float r = z - t;
  d = 2 * r;
  return static_cast<double>(r) * r;
}

double absolute_error(float z, float t, float& d) {
  const float r = z - t;
  d = r > 0 ? 1.0f : r < 0 ? -1.0f : r;  // 0 stays 0 and NaN stays NaN
  return std::abs(static_cast<double>(r));
}

// max(z, 0) - z t + log(1 + exp(-|z|)); derivative sigmoid(z) - t.
double logistic_error(float z, float t, float& d) {
  const float e = std::exp(-std::abs(z));
  const float sigmoid = z >= 0 ? 1 / (1 + e) : e / (1 + e);
  d = sigmoid - t;
  return static_cast<double>(std::max(z, 0.0f)) - static_cast<double>(z) * t + std::log1p(e);
}

template <class F>
void over_values(const LossArgs& args, LaneRecord& record, F loss) {
  const std::int64_t values = args.valid * args.width;
  double total = 0;
  for (std::int64_t i = 0; i < values; ++i) {
    float d;
    total += loss(args.outputs[i], args.targets[i], d);
    if (args.d_outputs != nullptr) args.d_outputs[i] = d;
  }
  record.sums[0] = total;
  record.counts[0] = values;
}

}  // namespace

LaneRecord add(const LaneRecord& a, const LaneRecord& b) {
  LaneRecord sum;
  for (int i = 0; i < LaneRecord::kSums; ++i) sum.sums[i] = a.sums[i] + b.sums[i];
  for (int i = 0; i < LaneRecord::kCounts; ++i) sum.counts[i] = a.counts[i] + b.counts[i];
  return sum;
}

LossKind loss_from(std::string_view name) {
  for (std::size_t i = 0; i < kLossNames.size(); ++i) {
    if (kLossNames[i] == name) return static_cast<LossKind>(i);
  }
  throw UserError("'{}' is not a loss; use softmax_cross_entropy, mse, mae or binary_cross_entropy",
                  name);
}

std::string_view name_of(LossKind kind) { return kLossNames[static_cast<std::size_t>(kind)]; }

void add_cross_entropy(const LossArgs& args, double& total, std::int64_t& counted) {
  for (std::int64_t n = 0; n < args.valid; ++n) {
    float* d = args.d_outputs == nullptr ? nullptr : args.d_outputs + n * args.width;
    const std::int32_t label = args.labels[n];
    if (label == -1) {
      if (d != nullptr) std::fill(d, d + args.width, 0.0f);
      continue;
    }
    LOCKSTEP_CHECK(label >= 0 && label < args.width, "label {} of sample {} is outside [0, {})",
                   label, n, args.width);
    total += cross_entropy(args.outputs + n * args.width, args.width, label, d);
    ++counted;
  }
}

void compute_loss(LossKind kind, const LossArgs& args, LaneRecord& record) {
  LOCKSTEP_CHECK(args.valid >= 0 && args.valid <= args.samples && args.width > 0);
  switch (kind) {
    case LossKind::kSoftmaxCrossEntropy:
      record.sums[0] = 0;
      record.counts[0] = 0;
      add_cross_entropy(args, record.sums[0], record.counts[0]);
      break;
    case LossKind::kMse:
      over_values(args, record, squared_error);
      break;
    case LossKind::kMae:
      over_values(args, record, absolute_error);
      break;
    case LossKind::kBinaryCrossEntropy:
      over_values(args, record, logistic_error);
      break;
  }
  if (args.d_outputs != nullptr) {
    std::fill(args.d_outputs + args.valid * args.width, args.d_outputs + args.samples * args.width,
              0.0f);
  }
}

namespace {

class CpuLoss : public Loss {
 public:
  explicit CpuLoss(const LossForm& d) : d_(d) {}
  void run(const LossArgs& args, LaneRecord* record, void*, Stream*) const override {
    LaneRecord one;
    compute_loss(d_.kind, args, one);
    for (const Metric& metric : d_.metrics) measure(metric, args, one);
    *record = add(*record, one);
  }

 private:
  const LossForm d_;
};

}  // namespace

std::unique_ptr<Loss> make_cpu(const LossForm& d) { return std::make_unique<CpuLoss>(d); }

}  // namespace lockstep::ops
