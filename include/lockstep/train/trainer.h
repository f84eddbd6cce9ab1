// Training and evaluation of a resolved run: opens the data, builds the program, prints the ledger,
// steps, evaluates, checkpoints. Collective: every rank calls with the same arguments.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"
#include "lockstep/train/run.h"
#include "lockstep/train/run_record.h"

namespace lockstep::train {

struct TrainRequest {
  bool check_only = false;  // --check: ledger, then stop
  bool resume = false;      // --resume: from the newest checkpoint, or fresh if there is none
  bool overwrite = false;   // --overwrite: the folder's checkpoints are removed at the first save
  std::int64_t stop_after = 0;  // --stop-after: this many steps in all, then save and stop; 0: off
  std::string trace;        // --trace: a file for a timeline of all ranks; "": none
  std::string init_from;        // --init-from: safetensors with the first values of the parameters
  std::string resolved_toml;    // stored in checkpoints
  std::string version;          // of the program, for run.json
  // Reads such a text again; `name` says whose it is in an error. To tell what a resumed run
  // changed.
  std::function<Run(const std::string& toml, const std::string& name)> parse_run;
  std::optional<PlannedRecord> planned;  // on rank 0, of a run with plan.machine: for its report
  // Names and versions of libraries for the environment, {"onednn", "2.6.3"}.
  std::vector<std::pair<std::string, std::string>> libraries;
};
// kDone, or kStopped, with a good checkpoint, after a signal (where the caller has installed
// signals.h's handlers) or for its time limit.
ExitCode run_training(comm::Communicator& communicator, const Run& run,
                      const TrainRequest& request);

struct EvalRequest {
  std::filesystem::path checkpoint;  // a file
  std::string split = "test";
};
ExitCode run_evaluation(comm::Communicator& communicator, const Run& run,
                        const EvalRequest& request);

}  // namespace lockstep::train
