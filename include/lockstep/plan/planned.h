// A prediction as a run's report shows it beside what happened.
#pragma once
#include <string>

#include "lockstep/plan/predict.h"
#include "lockstep/train/run_record.h"

namespace lockstep::plan {

train::PlannedRecord planned_record(const Prediction& prediction, const std::string& machine);

}  // namespace lockstep::plan
