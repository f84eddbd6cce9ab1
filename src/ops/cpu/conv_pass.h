// What the direct convolution kernels are told: extents, strides and where things lie. Plain data
// and the table of kernels; knows no op. Activations are channels-last, space is always three
// dimensions, outermost first; a missing one has extent 1.
#pragma once
#include <cstddef>
#include <cstdint>

namespace lockstep::ops {

// One correlation over a source [samples, in..., in_channels]:
//   y[n, o, c] = bias[c] + sum over taps t and channels i of x[n, o * stride - padding + t, i]
//                w[c, i, t],
// summed over chunks of channels, taps of the two outer dimensions, channels of the chunk, taps of
// the last dimension, in this order. A forward convolution is one pass; a data gradient is one pass
// for each remainder of a position modulo the stride, in which every output position is
// out_position * out_step + out_offset of the tensor that is written.
struct ConvPass {
  std::int64_t in_channels = 0, out_channels = 0;
  std::int64_t in[3] = {1, 1, 1};        // of the source
  std::int64_t out[3] = {1, 1, 1};       // positions of this pass
  std::int64_t written[3] = {1, 1, 1};   // of the tensor that is written
  std::int64_t out_step[3] = {1, 1, 1}, out_offset[3] = {0, 0, 0};
  std::int64_t kernel[3] = {1, 1, 1};    // taps of this pass; 0: it writes zeros
  std::int64_t stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0};
  std::int64_t tap_first[3] = {0, 0, 0}, tap_step[3] = {1, 1, 1};  // taps in the flat weights
  std::int64_t chunk = 0;         // channels
  std::int64_t tile_rows = 1;     // rows of positions that share a block of weights while in cache
  // Vectors of 16 output channels in a block of weights: 1, 2, or 4 where it divides them; with 2
  // the last block may have 1.
  std::int64_t vectors = 2;
  std::int64_t packed_begin = 0;  // floats
};

// How weights lie in the flat buffer, seen from a pass: w[lane * lane_stride + channel *
// channel_stride + tap], lanes being the pass' output channels.
constexpr std::int64_t kConvMostTaps = 128;
struct ConvFlatWeights {
  std::int64_t channels = 0, lane_stride = 0, channel_stride = 0;
  std::int64_t taps[3] = {1, 1, 1};
};

// A weight gradient: for each block of output channels, [kernel d][kernel h][in channel][kernel w]
// [lanes of the block]. Positions are added in order within a set, sets in order.
struct ConvGradient {
  std::int64_t in_channels = 0, out_channels = 0;
  std::int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  std::int64_t stride[3] = {1, 1, 1}, padding[3] = {0, 0, 0};
  std::int64_t pair_words = 0;  // bf16: in a row of dy, in[2] rounded up to even + kernel[2] - 2
};
// The positions of a set: [samples] x [planes] x [rows] x all of the last dimension.
struct ConvSet {
  std::int64_t samples = 1, plane = 0, planes = 1, row = 0, rows = 1;
};

// bf16. A word holds two numbers whose products are added: for a pass two input channels, so that
// its in_channels counts words; for a gradient two positions of a row. x of a gradient is then
// [samples, in[0], in[1], half of in[2], in_channels] words of positions 2 j and 2 j + 1; dy, of
// the set alone, [samples, planes, rows, pair_words, out_channels] words of positions o and o + 1,
// o from padding + 1 - kernel on, +0 where there is none.

struct ConvKernels {
  void (*pack)(const ConvPass& pass, const ConvFlatWeights& flat, const float* weights,
               float* packed);
  // bias may be null; relu: y = max(y, 0), NaN stays.
  void (*run)(const ConvPass& pass, std::int64_t samples, const float* x, const float* packed,
              const float* bias, bool relu, float* y);
  // dw += the set's gradient, or dw = it.
  void (*gradient)(const ConvGradient& g, const ConvSet& set, const float* x, const float* dy,
                   bool first, float* dw);
  // bf16 only. channel_words: words of channels 2 c and 2 c + 1 of each position; input_pairs and
  // gradient_pairs: those of gradient(), for rows of x and for a set of dy.
  void (*channel_words)(float* words, const float* x, std::int64_t positions,
                        std::int64_t channels);
  void (*input_pairs)(const ConvGradient& g, float* words, const float* x, std::int64_t rows);
  void (*gradient_pairs)(const ConvGradient& g, const ConvSet& set, float* words, const float* dy);
  // dw in the kernels' layout to [out, in, taps].
  void (*unpack)(const ConvGradient& g, const float* dw, float* flat);
};

extern const ConvKernels kConvAvx512, kConvAvx512Bf16;

}  // namespace lockstep::ops
