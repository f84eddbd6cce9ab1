// What happens when somebody touches what is not theirs: a kernel that strays fails as on a device,
// and a host that touches device memory ends with a sentence.
#pragma once
#include "tests/ptx/runtime/schedule.h"

namespace lockstep::emulation {

// Runs the work; an exception or a fault in it is printed and becomes the failure of the process.
void run_guarded(const Work& work);

}  // namespace lockstep::emulation
