// Whether a run fits into its nodes, before it takes memory: its ledger, made on a device that only
// plans, against what the node's ranks may use.
#pragma once
#include <cstdint>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/run.h"
#include "train/setup.h"

namespace lockstep::train {

struct PlanInputs {
  comm::Communicator& communicator;
  const Run& run;
  const data::Manifest& manifest;
  const Task& task;
  ops::Precision precision;
};

// Collective. Throws UserError on all ranks: what is needed and may be used on the first node where
// that is too little, the largest rows, and which stage of sharding would fit. For strategies
// replicated and sharded on the host.
void refuse_what_does_not_fit(const PlanInputs& inputs);

}  // namespace lockstep::train
