// Why a run stops before its end, with a checkpoint: a signal that any rank has received, or its
// time limit, which rank 0 watches. What a rank finds out itself becomes everybody's in the step's
// small message.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/run.h"
#include "train/time_limit.h"

namespace lockstep::train {

class Stopping {
 public:
  // A run without a folder has nothing to save and never stops; a time limit of its own is refused.
  Stopping(comm::Communicator& communicator, const Run& run);

  // Collective: whether a signal came before the first step.
  bool asked_before_start();
  // Of this rank. Costs a look at a flag and, on rank 0 with a time limit, at the clock.
  bool asked();
  // before_saying: what has to be done before a line is printed.
  void begin_stretch(const std::function<void()>& before_saying);
  void took_save(double seconds);
  // Collective, once all have agreed to stop: "USR1", "the time limit".
  std::string reason() const;

 private:
  comm::Communicator& communicator_;
  const bool saves_;
  std::optional<TimeLimit> limit_;  // of rank 0, where there is or may be one
  double stretch_began_ = -1;
};

}  // namespace lockstep::train
