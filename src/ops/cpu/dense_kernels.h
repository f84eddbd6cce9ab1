// Vector loops around oneDNN's kernels and those of pooling, one table per instruction set, filled
// from dense_loops.inl and pool_loops.inl. All forms give the same bits: they add in the same order
// and never multiply and add.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/cpu/kernels.h"

namespace lockstep::ops {

// Three spatial dimensions, outermost first; a missing one has extent 1. Plain data: a function
// here would also be compiled for AVX-512, and the linker might take that one for all.
struct PoolGeometry {
  std::int64_t samples = 0, channels = 0;
  std::int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  std::int64_t stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0};
  std::int64_t window = 1;  // places in a window
  bool leaky = false;       // max: leaky relu of the maximum
  float slope = 0;
};

// to (null: not wanted) = act'(from) times dropped d_output, all [rows, columns]; d_bias [columns] =
// its sum over rows: bands of 32 rows in fp32, bands in double, in order.
struct LinearGradient {
  const float *d_output, *from;  // from: of the activation, input or (relu) output; null without
  float* to;
  float* d_bias;  // null, with band and sums: not wanted
  float* band;    // scratch, [columns]
  double* sums;   // scratch, [columns rounded up to 16]
  std::int64_t rows, columns;
  int activation;  // of enum Activation
  bool drop;
  DropoutStream stream;  // of element 0
};

struct DenseKernels {
  // x = max(x, 0) in place; NaN stays.
  void (*relu)(float* x, std::int64_t n);

  // What precedes the gradients of a layer with bias or fused relu, in one pass over d_output
  // [rows, columns]. masked (null: not wanted) = d_output where output > 0, else +0. d_bias
  // [columns] (null: not wanted) = sum over rows: bands of 32 rows in fp32, bands in double, in
  // order. sums: scratch, columns doubles.
  void (*prepare_gradient)(float* masked, float* d_bias, double* sums, const float* d_output,
                           const float* output, std::int64_t rows, std::int64_t columns);

  void (*linear_gradient)(const LinearGradient& g);

  // panels[p][k][j] = weights[p * width + j][k], +0 beyond the edges: weights [out, in] as the
  // second factor of x W^T, in panels of `width` (a multiple of 16) outputs and `depth` >= in rows.
  void (*pack_panels)(float* panels, const float* weights, std::int64_t out, std::int64_t in,
                      std::int64_t width, std::int64_t depth);

  // Winners are numbered in window order, padding included; bytes if the window has at most 256
  // places, else 32 bits. Null winners are not stored.
  void (*max_pool)(const PoolGeometry& g, const float* x, float* y, void* winners);
  // y: read if leaky.
  void (*max_pool_backward)(const PoolGeometry& g, const float* dy, const float* y,
                            const void* winners, float* dx);
  void (*average_pool)(const PoolGeometry& g, const float* x, float* y);
  void (*average_pool_backward)(const PoolGeometry& g, const float* dy, float* dx);
};

const DenseKernels& dense_kernels();  // of the ISA in force

}  // namespace lockstep::ops
