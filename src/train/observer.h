// What a run does, told to those who keep a record of it. They change nothing that reaches a
// parameter.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"
#include "lockstep/parallel/strategy.h"
#include "lockstep/train/metrics_log.h"
#include "lockstep/train/run.h"
#include "lockstep/train/run_record.h"
#include "lockstep/train/tables.h"
#include "train/data_passes.h"

namespace lockstep::train {

struct Stretch {
  std::int64_t step = 0;   // of the run, after it
  std::int64_t steps = 0;  // in it
  double seconds = 0;      // of it, on this rank
  const parallel::StepOutcome* last =
      nullptr;  // of its last step; null without one; gone after the call
};

// All ranks make each call after the same step, so an observer may talk to its peers; where it
// does, after a number of steps and never by a rank's clock.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void begun(std::int64_t /*step*/) {}  // before the first stretch; `step` are done already
  virtual void ended(const Stretch&) {}
  virtual void evaluating(std::int64_t /*step*/) {}
  virtual void evaluated(const EvaluationRecord&) {}
  virtual void saved(std::int64_t /*step*/, double /*seconds*/) {
  }                                                          // that the run stood still for it
  virtual std::vector<std::string> report() { return {}; }   // lines for the end report
  virtual void finished(std::int64_t /*step*/, ExitCode) {}  // not if the run ends by an error
};

struct Observed {
  comm::Communicator& communicator;
  const Run& run;
  std::function<RankTimes()> times;  // of this rank, since the first step of this process
  std::function<double(const parallel::StepOutcome&)> loss;
  std::function<std::string()> ending;  // why the run is over: known to report() and finished()
  std::int64_t total_steps = 0, steps_per_epoch = 0;
  bool afresh = false;                // --overwrite: what the folder holds is of another run
  std::string gpu;                    // cuda_identity() of this rank's device, if it is one
  std::function<PassTimes()> passes;  // of this rank, since its first pass
  std::function<void(const EventRecord&)> note;  // a line of metrics.jsonl, on the rank that has it
  std::function<RunRecord()> record;  // as far as it is known before the first step, without hosts
  std::function<std::pair<std::string, std::int64_t>()> digest;  // the last one told, and its step
};
std::vector<std::unique_ptr<Observer>> make_observers(const Observed& observed);

}  // namespace lockstep::train
