// Training and evaluation of a resolved run: opens the data, builds the program, prints the ledger,
// steps, evaluates, checkpoints. Collective: every rank calls with the same arguments.
#pragma once
#include <filesystem>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

struct TrainRequest {
  bool check_only = false;   // --check: ledger, then stop
  bool resume = false;       // --resume: from the newest checkpoint, or fresh if there is none
  bool overwrite = false;    // --overwrite: the folder's checkpoints are removed at the first save
  std::string resolved_toml; // stored in checkpoints
};
// kDone, or kStopped after a signal with a good checkpoint.
ExitCode run_training(comm::Communicator& communicator, const Run& run, const TrainRequest& request);

struct EvalRequest {
  std::filesystem::path checkpoint;  // a file, or a folder: its newest ("best" in `which`: its best)
  std::string split = "test";
};
ExitCode run_evaluation(comm::Communicator& communicator, const Run& run, const EvalRequest& request);

}  // namespace lockstep::train
