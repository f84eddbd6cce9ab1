// Chooses an op's form by the device that it is to run on.
#include "lockstep/core/error.h"
#include "ops/cpu/make.h"
#ifdef LOCKSTEP_CUDA
#include "ops/cuda/make.h"
#endif

namespace lockstep::ops {
namespace {

template <class Description>
auto make_on(Device& device, const Description& d) {
#ifdef LOCKSTEP_CUDA
  if (device.kind() == DeviceKind::kCuda) return make_cuda(device, d);
#endif
  LOCKSTEP_CHECK(device.kind() == DeviceKind::kCpu, "no ops for {}", device.name());
  return make_cpu(d);
}

}  // namespace

std::unique_ptr<Op> make(Device& device, const Linear& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Convolution& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Pool& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const BatchNorm& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const LayerNorm& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const RmsNorm& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Activate& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Add& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Dropout& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Embedding& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Positions& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const Attention& d) { return make_on(device, d); }
std::unique_ptr<Op> make(Device& device, const SwiGlu& d) { return make_on(device, d); }
std::unique_ptr<Loss> make(Device& device, const LossForm& d) { return make_on(device, d); }
std::unique_ptr<LossHead> make_loss_head(Device& device, const LinearCrossEntropy& d) {
  return make_on(device, d);
}


bool bf16_pays(const Device& device, const Convolution& c) {
#ifdef LOCKSTEP_CUDA
  if (device.kind() == DeviceKind::kCuda) return bf16_pays_on_cuda(device, c);
#endif
  LOCKSTEP_CHECK(device.kind() == DeviceKind::kCpu, "no ops for {}", device.name());
  return bf16_pays_on_cpu(c);
}

}  // namespace lockstep::ops
