// The precision that a run computes in: the one that it asks for, where that is worth something.
#pragma once
#include "lockstep/ops/op.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

// Under the ISA in force: fp32 where the machine has no arithmetic of its own for bf16.
ops::Precision precision_in_force(const Run& run);
// One warning, by the rank that speaks, if that is another one than the run asks for.
void warn_of_precision(const Run& run);

}  // namespace lockstep::train
