// The prediction for a run on the ranks that it is about to take (plan.machine), for its report.
#pragma once
#include <optional>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/run.h"
#include "lockstep/train/run_record.h"

namespace lockstep::app {

// On rank 0 of a run with plan.machine; none elsewhere. A plan that cannot be made is a warning.
// `name`: the run file's.
std::optional<train::PlannedRecord> planned(const comm::Communicator& communicator,
                                            const train::Run& run, const std::string& name);

}  // namespace lockstep::app
