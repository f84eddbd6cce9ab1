// What the environment says about the machine to be played (README.md).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace lockstep::emulation {

// NAME:N, the N-th of the works whose names contain NAME ("fold_kernel<3", "cublasLtMatmul").
struct Choice {
  std::string name;
  std::uint64_t number = 0;  // 0: none
};

struct Settings {
  int devices = 4;                            // LOCKSTEP_EMULATION_DEVICES
  int major = 8, minor = 0;                   // LOCKSTEP_EMULATION_CAPABILITY=8.0
  std::size_t memory = std::size_t{4} << 30;  // LOCKSTEP_EMULATION_MEMORY=512M, of each device
  std::uint64_t seed = 0;                     // LOCKSTEP_EMULATION_SEED: which order of work
  bool eager = false;                         // LOCKSTEP_EMULATION_EAGER=1: work runs at once
  Choice fail;                                // LOCKSTEP_EMULATION_FAIL: fails when it runs
  Choice refuse;                              // LOCKSTEP_EMULATION_REFUSE: is refused when given
  bool peer_access = true;                    // LOCKSTEP_EMULATION_PEER=0
  bool ipc = true;                            // LOCKSTEP_EMULATION_IPC=0
  // LOCKSTEP_EMULATION_GUARD: whether the host dies that touches device memory. 0: no; 1: yes, but
  // large memory is not closed after every wait; 2: always, at 0.3 us a page and wait.
  int guard = 1;
  bool trace = false;  // LOCKSTEP_EMULATION_TRACE=1: work, as it runs
};

// Read once. A value that makes no sense ends the program with a sentence.
const Settings& settings();

}  // namespace lockstep::emulation
