// Kernels and variables by the host's names for them, as the program registers them when it starts.
#pragma once
#include <cstddef>
#include <string>

#include "tests/ptx/emulator.h"

namespace lockstep::emulation {

struct Function {
  std::string mangled, name;            // name: as in the source, for messages
  bool has_image = true;                // the program holds code for the capability that is played
  const ptx::Kernel* kernel = nullptr;  // null: not translated
  std::size_t dynamic_shared = 0;       // the most, by cudaFuncSetAttribute; 0: not set
};

// Null: not registered. Looks up the translation at the first call. Wants the lock of call.h.
Function* find_function(const void* host);
// data null: no such variable. Wants the lock of call.h.
ptx::Variable find_symbol(const void* host);

}  // namespace lockstep::emulation
