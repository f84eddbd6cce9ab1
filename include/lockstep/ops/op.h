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

// Everything that an op may touch while it runs. All pointers are on the op's device. Gradients of
// inputs and parameters are written, not added to. d_inputs[i] is null where nobody needs it.
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
  Mode mode = Mode::kTrain;
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
  virtual std::size_t packed_bytes() const { return 0; }
  virtual void pack(const float* const* /*parameters*/, void* /*packed*/) const {}
  // Whether backward reads these tensors: what it does not read need not live that long.
  virtual bool backward_needs_inputs() const { return true; }
  virtual bool backward_needs_output() const { return false; }
  // Whether output may lie in the place of inputs[0].
  virtual bool in_place() const { return false; }
  // The input whose gradient may lie in the place of d_output; -1: none.
  virtual int in_place_gradient() const { return in_place() ? 0 : -1; }
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

// y = act(x W^T + b). inputs {x [rows, in]}; parameters {W [out, in], b [out] if bias}.
// Only kNone and kRelu may be fused here.
struct Linear {
  std::int64_t rows, in, out;
  bool bias = true;
  Activation activation = Activation::kNone;
  bool need_d_input = true;  // false for the first layer
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
};
Shape output_shape(const Convolution& c);  // throws UserError if the kernel does not fit

enum class PoolKind : std::uint8_t { kMax, kAverage };
// Average counts padding out (PyTorch count_include_pad=False). Global pooling: kernel = spatial.
struct Pool {
  PoolKind kind;
  Shape input;  // [N, spatial..., C]
  std::vector<std::int64_t> kernel, stride, padding;
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
};  // Ba et al. 2016
struct RmsNorm {
  std::int64_t rows, channels;
  float epsilon = 1e-6f;
};  // Zhang & Sennrich 2019

// Elementwise.
struct Activate {
  std::int64_t elements;
  Activation activation;
  float slope = 0.01f;
};
struct Add {
  std::int64_t elements;
  Activation activation = Activation::kNone;
};  // inputs {a, b}; kNone or kRelu
// Inverted dropout: kept with probability 1 - rate where word >= rate * 2^32, scaled by 1/(1-rate).
// The mask is never stored: backward draws the same numbers again.
struct Dropout {
  std::int64_t elements;
  float rate;
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

}  // namespace lockstep::ops
