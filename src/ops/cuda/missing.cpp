// Ops that have no cuda form yet say so by name.
#include "lockstep/core/error.h"
#include "ops/cuda/make.h"

namespace lockstep::ops {
namespace {

[[noreturn]] void missing(const Device& device, const char* op) {
  throw UserError("{} has no {} yet; use run.device = \"cpu\"", device.name(), op);
}

}  // namespace

std::unique_ptr<Op> make_cuda(Device& device, const Pool&) { missing(device, "Pool"); }
std::unique_ptr<Op> make_cuda(Device& device, const BatchNorm&) { missing(device, "BatchNorm"); }
std::unique_ptr<Op> make_cuda(Device& device, const LayerNorm&) { missing(device, "LayerNorm"); }
std::unique_ptr<Op> make_cuda(Device& device, const RmsNorm&) { missing(device, "RmsNorm"); }
std::unique_ptr<Op> make_cuda(Device& device, const Activate&) { missing(device, "Activate"); }
std::unique_ptr<Op> make_cuda(Device& device, const Add&) { missing(device, "Add"); }
std::unique_ptr<Op> make_cuda(Device& device, const Dropout&) { missing(device, "Dropout"); }
std::unique_ptr<Op> make_cuda(Device& device, const Embedding&) { missing(device, "Embedding"); }
std::unique_ptr<Op> make_cuda(Device& device, const Positions&) { missing(device, "Positions"); }
std::unique_ptr<Op> make_cuda(Device& device, const Attention&) { missing(device, "Attention"); }
std::unique_ptr<Op> make_cuda(Device& device, const SwiGlu&) { missing(device, "SwiGlu"); }
std::unique_ptr<Loss> make_cuda(Device& device, const LossForm&) { missing(device, "LossForm"); }

}  // namespace lockstep::ops
