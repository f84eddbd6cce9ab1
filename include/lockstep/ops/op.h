// The op contract: what a device must be able to compute for a program. An op works on one
// microbatch of fixed shape, on one thread, with memory that the program planned. It never sees
// MPI, a rank, or the number of lanes.
//
// Activations are channels-last, contiguous: [N, spatial..., C] or [N, features]. Parameters have
// the shapes that the field knows: linear weight [out, in]; convolution weight [out, in/groups,
// spatial...]; norm gain and bias [C].
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/core/philox.h"
#include "lockstep/core/shape.h"
#include "lockstep/device/device.h"

namespace lockstep::ops {

enum class Mode : std::uint8_t { kTrain, kEvaluate };
enum class Reader : std::uint8_t { kForward, kBackward };  // of packed weights

// The arithmetic of matrix products and convolutions. kBf16: factors rounded to bf16 (nearest,
// even), products summed in fp32. Everything else, and all memory between ops, is fp32.
enum class Precision : std::uint8_t { kFp32, kBf16 };
Precision precision_from(std::string_view name);  // "fp32", "bf16"; throws UserError
std::string_view name_of(Precision precision);

// Everything that an op may touch while it runs. All pointers are on the op's device. Gradients of
// inputs and parameters are written, not added to (but see accumulate). d_inputs[i] is null where
// nobody needs it. Token numbers are int32 in the place of an input's floats.
struct Args {
  const float* const* inputs = nullptr;  // activations, in the order of the description
  float* output = nullptr;
  const float* d_output = nullptr;           // backward only
  float* const* d_inputs = nullptr;          // backward only
  const float* const* parameters = nullptr;  // flat-buffer addresses, kWeight and kNoDecay ones
  float* const* d_parameters = nullptr;      // backward only: this lane's leaf
  const float* const* statistics = nullptr;  // running statistics (batch norm, evaluation)
  float* const* lane_statistics = nullptr;   // train forward: this lane's leaves of the fold
  void* saved = nullptr;                     // kept from forward to backward
  void* workspace = nullptr;                 // scratch within one call; contents are lost
  const void* packed = nullptr;              // what pack() wrote
  RandomKey random;                          // op field already set
  // The same key where a device reads it, its op field not set: what changes from step to step must
  // not be in a launch that is captured once and run many times. Null on the cpu.
  const RandomKey* device_random = nullptr;
  Mode mode = Mode::kTrain;
  bool accumulate = false;         // backward adds to d_inputs[0]; only where accumulates()
  const float* carried = nullptr;  // embedding: gradient of parameters[0] from those it is tied to
  std::int64_t position = 0;       // inference: place of the first token in its sequence
  void* state = nullptr;           // inference: kept from call to call, state_bytes()
  Stream* stream = nullptr;
};

// Part `index` of `count` equal parts of the samples: [index / count, (index + 1) / count) of every
// activation.
struct Slice {
  std::int64_t index = 0, count = 1;
};

struct Cost {
  double forward_flops = 0, backward_flops = 0;  // multiply and add count as two
  double forward_bytes = 0, backward_bytes = 0;  // moved at least once each
};

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view kind() const = 0;  // "convolution", "batch_norm", ...
  virtual void forward(const Args& args) const = 0;
  virtual void backward(const Args& args) const = 0;

  virtual std::size_t saved_bytes() const { return 0; }
  virtual std::size_t workspace_bytes() const { return 0; }
  // Weights in the op's own layout, written once a step after the update and shared by all lanes.
  // pack() reads parameters[0] alone.
  virtual std::size_t packed_bytes() const { return 0; }
  virtual void pack(const float* const* /*parameters*/, void* /*packed*/,
                    Stream* /*stream*/) const {}
  // At least the part of that which one direction reads: for weights that are packed for each use.
  virtual void pack_for(Reader /*reader*/, const float* const* parameters, void* packed,
                        Stream* stream) const {
    pack(parameters, packed, stream);
  }
  // Whether backward reads these tensors: what it does not read need not live that long.
  virtual bool backward_needs_inputs() const { return true; }
  virtual bool backward_needs_output() const { return false; }
  // Whether output may lie in the place of inputs[0].
  virtual bool in_place() const { return false; }
  // The input whose gradient may lie in the place of d_output; -1: none.
  virtual int in_place_gradient() const { return in_place() ? 0 : -1; }
  // Whether backward can add to d_inputs[0] instead of writing it (a residual stream's other
  // branch came first).
  virtual bool accumulates() const { return false; }
  // Memory of one stream that an op for inference keeps from call to call: keys and values.
  virtual std::size_t state_bytes() const { return 0; }
  virtual Cost cost() const { return {}; }
  // Work in slices of the samples. A program runs ops that follow one another slice by slice, so
  // that what one wrote is still in cache when the next reads it; forward() and backward() are the
  // same calls over one slice of everything, and the bits are the same for every number of slices.
  //
  // The finest cut; the program asks for any divisor of it. 1: only forward() and backward().
  virtual std::int64_t slices() const { return 1; }
  // Whether both directions first need a pass over all slices (batch norm: its sums).
  virtual bool gathers() const { return false; }
  // A direction is: each gather, begin, each slice in order, finish. In gather and slice the
  // pointers to activations and their gradients are those of the slice. The workspace keeps its
  // contents from the first call to the last. output and d_inputs[0] are written by slice calls
  // alone; d_parameters is there in finish alone.
  virtual void forward_gather(const Args& /*args*/, Slice /*slice*/) const {}
  virtual void forward_begin(const Args& /*args*/) const {}
  virtual void forward_slice(const Args& /*args*/, Slice /*slice*/) const {}
  virtual void backward_gather(const Args& /*args*/, Slice /*slice*/) const {}
  virtual void backward_begin(const Args& /*args*/) const {}
  virtual void backward_slice(const Args& /*args*/, Slice /*slice*/) const {}
  virtual void backward_finish(const Args& /*args*/) const {}
  // The library kernels that it runs, "brgconv:avx512_core", for reports; empty for own loops.
  virtual std::vector<std::string> implementations() const { return {}; }
};

// --- descriptions ----------------------------------------------------------------------------

enum class Activation : std::uint8_t {
  kNone,
  kRelu,
  kLeakyRelu,
  kGelu,
  kGeluTanh,
  kSilu,
  kTanh,
  kSigmoid
};
Activation activation_from(std::string_view name);  // "relu", ...; throws UserError
std::string_view name_of(Activation activation);

// y = dropout(act(x W^T + b)) [+ residual]. inputs {x [rows, in], residual [rows, out] if
// residual}; parameters {W [out, in], b [out] if bias}. Activations fused: none, relu, gelu,
// gelu_tanh, silu. The gradient of the residual is d_output itself and may lie in its place.
struct Linear {
  std::int64_t rows, in, out;
  bool bias = true;
  Activation activation = Activation::kNone;
  bool need_d_input = true;  // false for the first layer
  bool residual = false;
  float dropout = 0;         // as Dropout, before the residual is added
  std::int64_t samples = 1;  // rows = samples * rows of a sample: what slices() cuts
  Precision precision = Precision::kFp32;
};

// 1 to 3 spatial dimensions, D = spatial rank. x [N, spatial..., C_in], y [N, out spatial...,
// C_out]; parameters {W [C_out, C_in/groups, kernel...], b [C_out] if bias}. Padding is per side,
// symmetric.
struct Convolution {
  Shape input;  // [N, spatial..., C_in]
  std::int64_t out_channels;
  std::vector<std::int64_t> kernel, stride, padding,
      dilation;  // D entries each; dilation 1 = dense
  std::int64_t groups = 1;
  bool bias = true;
  Activation activation = Activation::kNone;  // kNone or kRelu
  bool need_d_input = true;
  Precision precision = Precision::kFp32;
};
Shape output_shape(const Convolution& c);  // throws UserError if the kernel does not fit
// Whether kBf16 would be faster than kFp32 on the device. Where it would not be, a convolution that
// asks for it is computed in fp32.
bool bf16_pays(const Device& device, const Convolution& c);

enum class PoolKind : std::uint8_t { kMax, kAverage };
// Average counts padding out (PyTorch count_include_pad=False). Global pooling: kernel = spatial.
struct Pool {
  PoolKind kind;
  Shape input;  // [N, spatial..., C]
  std::vector<std::int64_t> kernel, stride, padding;
  // kMax: kLeakyRelu of the maximum, which is the maximum of leaky relus: it does not fall.
  Activation activation = Activation::kNone;
  float slope = 0.01f;
};
Shape output_shape(const Pool& p);

// Batch norm over all but the last dimension, statistics of this lane's microbatch (ghost batch
// norm): y = act((x - mean) * rstd * gain + bias [+ residual]). inputs {x [rows.., C], residual?}.
// parameters {gain [C], bias [C]}; statistics {running mean [C], running variance [C]};
// lane_statistics {mean, unbiased variance}. Ioffe & Szegedy 2015. backward writes d residual too.
struct BatchNorm {
  std::int64_t rows, channels;
  float epsilon = 1e-5f;
  Activation activation = Activation::kNone;  // kNone or kRelu
  bool residual = false;
};

// Over the last dimension. parameters {gain [C], bias [C]} (RMS: gain only).
struct LayerNorm {
  std::int64_t rows, channels;
  float epsilon = 1e-5f;
  std::int64_t samples = 1;  // rows = samples * rows of a sample: what slices() cuts
};  // Ba et al. 2016
struct RmsNorm {
  std::int64_t rows, channels;
  float epsilon = 1e-6f;
  std::int64_t samples = 1;
};  // Zhang & Sennrich 2019

// Elementwise. elements = samples * elements of a sample: what slices() cuts.
struct Activate {
  std::int64_t elements;
  Activation activation;
  float slope = 0.01f;
  std::int64_t samples = 1;
};
struct Add {
  std::int64_t elements;
  Activation activation = Activation::kNone;
  std::int64_t samples = 1;
};  // inputs {a, b}; kNone or kRelu
// Inverted dropout: kept with probability 1 - rate where word >= rate * 2^32, scaled by 1/(1-rate).
// The mask is never stored: backward draws the same numbers again.
struct Dropout {
  std::int64_t elements;
  float rate;
  std::int64_t samples = 1;
};

// y = W[id]. inputs {ids int32 [rows], in [0, vocabulary)}; parameters {W [vocabulary, width]}.
// backward adds the rows of d_output in order to `carried`, or to +0 where there is none.
struct Embedding {
  std::int64_t rows, vocabulary, width;
  std::int64_t samples = 1;
};

// Learned positions: y[n, t] = x[n, t] + P[position + t]. inputs {x [samples, tokens, width]};
// parameters {P [context, width]}, context >= tokens. In place, forward and backward.
struct Positions {
  std::int64_t samples, tokens, width, context;
};

// Multi-head attention (Vaswani et al. 2017, section 3.2) by blocks with an online softmax (Dao et
// al. 2022): no T x T matrix is stored, forward or backward. inputs {qkv [samples, tokens, (heads +
// 2 kv_heads) * width]}: for each token all queries, then all keys, then all values, by head;
// output [samples, tokens, heads * width]. Scores are scaled by 1 / sqrt(width). Query head h reads
// key head h / (heads / kv_heads) (Ainslie et al. 2023).
struct Attention {
  std::int64_t samples, tokens, heads, kv_heads, width;
  bool causal = true;
  double rotary = 0;  // base; > 0: queries and keys are rotated (Su et al. 2021), pairs (i, i +
                      // width / 2), angle (position + t) * base^(-2i / width)
  float dropout = 0;  // of the probabilities; element ((n * heads + h) * tokens + t) * tokens + key
  // > 0: inference of tokens [position, position + tokens) after those of earlier calls, whose keys
  // and values for up to `cache` tokens are kept in Args::state.
  std::int64_t cache = 0;
  Precision precision = Precision::kFp32;
};

// y = silu(gate) * up (Shazeer 2020). inputs {x [rows, 2 width]}: gate, then up; output [rows,
// width].
struct SwiGlu {
  std::int64_t rows, width;
  std::int64_t samples = 1;
};

std::unique_ptr<Op> make(Device& device, const Linear& d);
std::unique_ptr<Op> make(Device& device, const Convolution& d);
std::unique_ptr<Op> make(Device& device, const Pool& d);
std::unique_ptr<Op> make(Device& device, const BatchNorm& d);
std::unique_ptr<Op> make(Device& device, const LayerNorm& d);
std::unique_ptr<Op> make(Device& device, const RmsNorm& d);
std::unique_ptr<Op> make(Device& device, const Activate& d);
std::unique_ptr<Op> make(Device& device, const Add& d);
std::unique_ptr<Op> make(Device& device, const Dropout& d);
std::unique_ptr<Op> make(Device& device, const Embedding& d);
std::unique_ptr<Op> make(Device& device, const Positions& d);
std::unique_ptr<Op> make(Device& device, const Attention& d);
std::unique_ptr<Op> make(Device& device, const SwiGlu& d);

}  // namespace lockstep::ops
