// The whole run: what lies between its steps.
#pragma once
#include "lockstep/plan/predict.h"
#include "plan/rank_work.h"

namespace lockstep::plan {

// Seconds of writing one checkpoint, by all nodes together.
double checkpoint_seconds(const Job& job, const Machine& machine, const Layout& layout);
// Seconds between two that lose the least, as checkpoint.every = "auto" has it (Daly 2006); 0: a
// checkpoint costs nothing, or nothing fails.
double checkpoint_interval(const Job& job, const Layout& layout, double seconds_of_one);
// Steps of `step` seconds, evaluations and checkpoints.
double run_seconds(const Job& job, const Machine& machine, const Layout& layout,
                   const RankWork& work, double step);

}  // namespace lockstep::plan
