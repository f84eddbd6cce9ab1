// The instruction set that vector loops are chosen by, at run time (AVX-512, AVX2 or plain).
#pragma once
#include <string>
#include <string_view>

namespace lockstep {

enum class Isa { kPlain, kAvx2, kAvx512 };

Isa detected_isa();
// The ISA in force: the detected one, or the cap that run.isa set. cap_isa must be called before
// the first use of a kernel, at most once with effect. It also caps oneDNN's dispatch.
Isa isa();
void cap_isa(Isa cap);
std::string_view name_of(Isa isa);      // "plain", "avx2", "avx512"
Isa isa_from(std::string_view name);    // throws UserError

// Sets MXCSR of the calling thread to the run's mode: round to nearest, denormals kept, no traps.
void set_float_environment();

std::string cpu_model();     // from /proc/cpuinfo

}  // namespace lockstep
