// Which convolutions our own direct kernels compute, and their plan: passes, sets of positions,
// blocking. Functions of shapes alone. Knows no memory.
#pragma once
#include <optional>
#include <vector>

#include "lockstep/ops/op.h"
#include "ops/cpu/conv_pass.h"

namespace lockstep::ops {

struct DirectPlan {
  bool bf16 = false;
  ConvPass forward;
  std::vector<ConvPass> data;  // none: nobody needs d_input
  ConvFlatWeights forward_weights, data_weights;
  ConvGradient gradient;
  std::int64_t packed_floats = 0, gradient_floats = 0;
  std::int64_t part_samples = 1;   // what a slice holds a whole number of
  std::vector<ConvSet> part_sets;  // sets of one part, sample 0 being its first
  std::int64_t positions = 1;      // of a sample
};

// Nothing where the kernels do not reach: without AVX-512, with groups or dilation, or with taps,
// strides or padding of the last dimension that they were not made for.
std::optional<DirectPlan> direct_plan(const Convolution& c);

std::unique_ptr<Op> make_direct_convolution(const Convolution& c, DirectPlan plan);
std::unique_ptr<Op> make_onednn_convolution(const Convolution& c);

}  // namespace lockstep::ops
