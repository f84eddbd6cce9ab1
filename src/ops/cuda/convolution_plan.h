// One direction of a convolution of a fixed shape by cuDNN 9: channels-last activations, weights
// [out, kernel..., in/groups]. Only engines that give the same bits each time, and that do not
// round fp32 factors or trade them for sums of other numbers (TF32, Winograd, FFT).
#pragma once
#include <string>
#include <vector>

#include "lockstep/ops/op.h"
#include "ops/cuda/cudnn_descriptor.h"

namespace lockstep::ops {

class ConvolutionPlan {
 public:
  enum class Direction { kForward, kData, kWeights };

  // precision: of all three tensors (cuDNN has no engine from bf16 to fp32); sums are fp32. The
  // engine and its knobs are the recorded ones (Algorithms), or the first that the heuristics
  // offer, which are recorded. Throws UserError if what is recorded does not fit this library or
  // device.
  ConvolutionPlan(const Device& device, const Convolution& c, Direction direction,
                  Precision precision);

  bool available() const { return !plan_.empty(); }  // whether cuDNN can compute it
  std::size_t workspace_bytes() const { return workspace_bytes_; }
  std::string implementation() const { return "cudnn:" + engine_; }
  const std::string& problem() const { return problem_; }

  // x or dx, w or dw, y or dy: the last one of the direction is written.
  void run(const void* x, const void* w, const void* y, void* workspace, Stream* stream) const;

 private:
  cudnnStatus_t build(const std::string& engine);
  void use_recorded(const std::string& text);
  void choose();

  std::string problem_, engine_;
  cudnnHandle_t handle_;
  bool exact_;                                 // fp32: no engine that uses tensor cores
  std::vector<CudnnDescriptor> graph_, plan_;  // last, behind what they are made of
  std::size_t workspace_bytes_ = 0;
};

}  // namespace lockstep::ops
