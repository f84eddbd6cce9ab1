// Ops that have no cuda form yet say so by name.
#include "lockstep/core/error.h"
#include "ops/cuda/make.h"

namespace lockstep::ops {
namespace {

[[noreturn]] void missing(const Device& device, const char* op) {
  throw UserError("{} has no {} yet; use run.device = \"cpu\"", device.name(), op);
}

}  // namespace

std::unique_ptr<Op> make_cuda(Device& device, const Attention&) { missing(device, "Attention"); }

}  // namespace lockstep::ops
