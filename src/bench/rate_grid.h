// The sizes at which kernels are timed for a plan: what microbatches of an MLP, a CNN and a
// transformer are made of, and a little beyond on each side.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "bench/trial.h"

namespace lockstep::bench {

struct GridPoint {
  std::string kernel;
  ops::Precision precision = ops::Precision::kFp32;
  // As nn::OpCost::size; of an update parameters, of packing packed bytes, and the bytes that a
  // step goes through in between.
  std::vector<double> size;
  std::function<Trial(Device& device)> make;
};

// Each in its file: matrix products and what is fused with the loss; convolutions; all that counts
// bytes; packing and updates.
std::vector<GridPoint> product_points(ops::Precision precision);
std::vector<GridPoint> convolution_points(ops::Precision precision);
std::vector<GridPoint> pass_points();
std::vector<GridPoint> pack_points(ops::Precision precision);
std::vector<GridPoint> update_points();

}  // namespace lockstep::bench
