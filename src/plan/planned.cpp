#include "lockstep/plan/planned.h"

namespace lockstep::plan {

train::PlannedRecord planned_record(const Prediction& prediction, const std::string& machine) {
  const Phases& step = prediction.step;
  train::PlannedRecord record;
  record.machine = machine;
  record.step = {{"compute", step.compute}, {"fold", step.fold}, {"exposed", step.exposed},
                 {"hidden", step.hidden},   {"data", step.data}, {"other", step.other}};
  record.step_seconds = step.total();
  record.samples_per_second = prediction.samples_per_second;
  record.seconds = prediction.seconds;
  record.rank_memory =
      prediction.rank_memory > 0 ? prediction.rank_memory : prediction.host_memory;
  record.node_memory = prediction.node_memory;
  return record;
}

}  // namespace lockstep::plan
