// Looks in seconds at what a run will stand on: launcher, cores, network, file system, memory,
// libraries, devices. Each finding says what was seen and what to do. Trains nothing.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"

namespace lockstep::doctor {

struct Request {
  std::string folder = ".";  // whose file system is tried; nothing stays there
  std::string data;          // data.path: whether every rank can read it; empty: none
  int threads = 1;           // run.threads
  std::int64_t lanes = 0;    // train.lanes; 0: not known
  bool cuda = false;         // the run wants CUDA devices
  // What has to be the same everywhere: build, libraries.
  std::vector<std::pair<std::string, std::string>> libraries;
};

// Collective. Prints one line a finding, pass, warn or fail, with the remedy under what is not
// well. kDone, or kNo if anything failed.
ExitCode examine(comm::Communicator& communicator, const Request& request);

}  // namespace lockstep::doctor
