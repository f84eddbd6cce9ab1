// Losses and metrics of one microbatch. All are unnormalised sums over the first `valid` samples;
// the fold adds lanes, and one multiplication by 1 / global count follows (NUMERICS.md 6).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/device/device.h"

namespace lockstep::ops {

// What one lane contributes to a step's loss and metrics: plain data, a leaf of the fold.
struct LaneRecord {
  static constexpr int kSums = 8, kCounts = 8;
  std::array<double, kSums> sums{};            // [0] is the loss
  std::array<std::int64_t, kCounts> counts{};  // [0] is the number of values the loss averages over
};
// a + b, slot by slot.
LaneRecord add(const LaneRecord& a, const LaneRecord& b);

enum class LossKind : std::uint8_t { kSoftmaxCrossEntropy, kMse, kMae, kBinaryCrossEntropy };
LossKind loss_from(
    std::string_view name);  // "softmax_cross_entropy", "mse", "mae", "binary_cross_entropy"
std::string_view name_of(LossKind kind);

// outputs [samples, width]. Targets: softmax cross-entropy int32 [samples] in [0, width) (-1 is
// ignored and not counted); the others float [samples, width]. MSE, MAE and binary cross-entropy
// (on logits, the stable form) average over samples * width values, as PyTorch's "mean".
struct LossArgs {
  std::int64_t samples = 0, width = 0, valid = 0;  // valid <= samples: padding is masked to +0
  const float* outputs = nullptr;
  const std::int32_t* labels = nullptr;  // classes
  const float* targets = nullptr;        // values
  float* d_outputs = nullptr;            // null in evaluation; gradient of the SUM of losses
};
void compute_loss(LossKind kind, const LossArgs& args, LaneRecord& record);  // in the host's memory

// Metrics write the slots that they were given when they were chosen.
enum class MetricKind : std::uint8_t { kAccuracy, kTopK, kMae, kR2, kPerplexity };
struct Metric {
  MetricKind kind;
  int k = 1;           // top-k
  int sum_slot = 0;    // first of the sums it owns
  int count_slot = 0;  // first of the counts it owns
  std::string_view name() const;
};
// Chooses slots. names: "accuracy", "top5" (topK), "mae", "r2", "perplexity" (exp of the mean loss,
// from the loss's own slots). Throws UserError on others.
std::vector<Metric> make_metrics(const std::vector<std::string>& names);
// Throws UserError if a metric has no meaning with the loss: mae and r2 need values, topK and
// perplexity classes, accuracy classes or binary cross-entropy.
void check_metrics(LossKind loss, const std::vector<Metric>& metrics);
// accuracy: argmax, lowest index wins a tie (NaN never wins). With float targets each
// value is a yes or a no: output > 0 against target > 0.5.
void measure(const Metric& metric, const LossArgs& args, LaneRecord& record);
// Loss and metrics of one microbatch on a device.
struct LossForm {
  LossKind kind;
  std::int64_t samples, width;  // the most that run() is called with, and what it is called with
  std::vector<Metric> metrics;
};
class Loss {
 public:
  virtual ~Loss() = default;
  // All of args, record and workspace lie on the device. Adds to record; in the stream's order.
  virtual void run(const LossArgs& args, LaneRecord* record, void* workspace,
                   Stream* stream) const = 0;
  virtual std::size_t workspace_bytes() const { return 0; }
};
std::unique_ptr<Loss> make(Device& device, const LossForm& d);

// The metric's value from a folded record.
double value(const Metric& metric, const LaneRecord& folded);

}  // namespace lockstep::ops
