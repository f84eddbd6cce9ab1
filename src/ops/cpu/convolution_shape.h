// What a convolution's shapes decide: layouts for oneDNN, how many samples are worked on at a time,
// which kernel runs forward. Knows no memory and runs nothing but the flip of the weights.
#pragma once
#include "lockstep/ops/op.h"
#include "ops/cost.h"
#include "ops/cpu/onednn.h"

namespace lockstep::ops {

// Samples in a part: what fits in the second-level cache, or all of them where parts would be
// uneven or the weight gradient, written once per part, would cost more than the activations.
std::int64_t part_of(const Convolution& c);

struct ConvolutionLayouts {
  using Layout = dnnl::memory::desc;
  using Dims = dnnl::memory::dims;

  explicit ConvolutionLayouts(const Convolution& c);

  Layout x, y, flat, any, bias;
  Layout flat_flipped, any_flipped;  // input and output channels change places; groups = 1 only
  Dims stride, padding, gaps;        // gaps: oneDNN counts dilation from 0
  Dims flipped_padding;
};

// Whether forward runs on oneDNN's kernel for data gradients: with stride 1 it is the gradient of
// the convolution with transposed and flipped weights. With few channels oneDNN's forward kernel
// waits for its stores; measured with x in cache and y in memory, GFLOP/s forward / data kernel,
// 3x3: 3 -> 16 channels 72 / 173, 16 -> 16 164 / 222, 16 -> 32 215 / 226, 32 -> 32 224 / 250,
// 48 -> 48 242 / 200. A 1x1 kernel loses. The data kernel takes no bias.
bool forward_by_data_kernel(const Convolution& c);

// to [in, out, kernel...] = from [out, in, kernel...] with every dimension of the kernel reversed.
void transpose_and_flip(const Convolution& c, float* to, const float* from);

}  // namespace lockstep::ops
