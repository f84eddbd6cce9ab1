// The last linear layer of a token model together with its softmax cross-entropy, in blocks of
// rows: the logits and probabilities of one block are all that ever exists (as in Hsu et al. 2024,
// Liger Kernel). One call gives loss, metrics and all gradients.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/ops/loss.h"
#include "lockstep/ops/op.h"

namespace lockstep::ops {

// logits = x W^T + b. x [rows, in]; parameters {W [classes, in], b [classes] if bias}.
struct LinearCrossEntropy {
  std::int64_t rows, in, classes;
  bool bias = false;
  Precision precision = Precision::kFp32;
};

struct HeadArgs {
  const float* x = nullptr;              // [rows, in]
  const std::int32_t* labels = nullptr;  // [rows], in [0, classes); -1 is ignored and not counted
  std::int64_t valid = 0;                // rows that count; the gradient of the others is +0
  const float* const* parameters = nullptr;
  const void* packed = nullptr;
  float* d_x = nullptr;                    // null in evaluation: no gradients
  float* const* d_parameters = nullptr;    // of the SUM of losses
  void* workspace = nullptr;
  Stream* stream = nullptr;
};

class LossHead {
 public:
  virtual ~LossHead() = default;
  // Adds loss and metrics (accuracy, topK) to record, which lies on the device as all of args do.
  virtual void run(const HeadArgs& args, std::span<const Metric> metrics,
                   LaneRecord* record) const = 0;
  virtual std::size_t workspace_bytes() const = 0;
  virtual std::size_t packed_bytes() const = 0;
  virtual void pack(const float* const* parameters, void* packed, Stream* stream) const = 0;
  virtual Cost cost() const = 0;  // the usual three products, however they are computed
  virtual std::vector<std::string> implementations() const = 0;
};
std::unique_ptr<LossHead> make_loss_head(Device& device, const LinearCrossEntropy& d);

}  // namespace lockstep::ops
