// Every rank reads the run for itself, before MPI is there to share it; then all agree on it.
#pragma once
#include <functional>
#include <string>

#include "app/ranks.h"
#include "lockstep/train/run.h"

namespace lockstep::app {

struct Loaded {
  train::Run run;
  std::string source;  // what else all ranks must agree on, such as the checkpoint's path
  comm::Communicator* communicator = nullptr;
};

// `read` fills run and source; what it throws on any rank is thrown on all. Then run.isa
// is in force.
Loaded load_run(Ranks& ranks, const std::string& what, const std::function<void(Loaded&)>& read);

}  // namespace lockstep::app
