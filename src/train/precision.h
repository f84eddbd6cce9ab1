// The precision that a run computes in: the one that it asks for, where that is worth something.
#pragma once
#include "lockstep/device/device.h"
#include "lockstep/ops/op.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

// Of the device, on the cpu under the ISA in force: fp32 where it has no arithmetic of its own for
// bf16.
ops::Precision precision_in_force(const Run& run, const Device& device);
ops::Precision precision_on_cuda(const Run& run, int capability);
// One warning, by the rank that speaks, if that is another one than the run asks for.
void warn_of_precision(const Run& run, const Device& device);

}  // namespace lockstep::train
