#include "lockstep/core/error.h"
#include "ops/cpu/convolution_direct.h"
#include "ops/cpu/make.h"

namespace lockstep::ops {

std::unique_ptr<Op> make_cpu(const Convolution& c) {
  output_shape(c);
  LOCKSTEP_CHECK(c.activation == Activation::kNone || c.activation == Activation::kRelu);
  if (auto plan = direct_plan(c)) return make_direct_convolution(c, std::move(*plan));
  return make_onednn_convolution(c);
}

}  // namespace lockstep::ops
