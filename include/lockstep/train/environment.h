// What besides the run file and the data can change bits: build, processor, instruction set,
// caches, libraries, threads, device (NUMERICS.md 13). Compared over ranks at start, stored in
// checkpoints, compared by verify. Knows nothing of models.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"

namespace lockstep::train {

struct Environment {
  std::vector<std::pair<std::string, std::string>> entries;  // key, value; always in the same order
};

struct EnvironmentInputs {
  std::int64_t threads = 1;  // run.threads
  std::string device;        // "cpu", "cuda"
  std::string precision;     // in force: "fp32", "bf16"
  // Libraries that train does not call itself: {"onednn", "2.6.3"}, {"mpi", "Open MPI 4.1.4"}.
  std::vector<std::pair<std::string, std::string>> libraries;
  std::string gpu;         // its name, architecture and software; empty on the cpu
  std::string algorithms;  // that vendors' libraries use there, a line for each problem
};

// Of this process: {build, cpu, isa, cache_l1d, cache_l2, cache_l3, hdf5, libraries..., threads,
// device, gpu and algorithms (on cuda), precision}. `build` is the program's own build id.
Environment local_environment(const EnvironmentInputs& inputs);
std::string environment_json(const Environment& environment);
// The value of a key in such a text; empty if it has none.
std::string environment_value(const std::string& json, const std::string& key);

// Collective. All ranks equal: returns "". Otherwise throws UserError naming the first rank that
// differs from position 0, its host, the key, both values and the remedy; with `mixed` (run.mixed)
// returns that sentence instead, for a warning that bits are not promised.
std::string check_same_environment(comm::Communicator& communicator, const Environment& environment,
                                   bool mixed);

}  // namespace lockstep::train
