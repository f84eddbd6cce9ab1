// lockstep plan --simulate: a run played out, reported as a run reports itself.
#pragma once
#include <string>

#include "lockstep/plan/simulate.h"
#include "lockstep/train/run.h"

namespace lockstep::app {

struct SimulatedRun {
  const train::Run& run;
  const plan::Job& job;
  const plan::Machine& machine;
  plan::Layout layout;
  plan::SimulateOptions options;
};

// The end report of a run, and what became of it.
std::string simulated_text(const SimulatedRun& run, const plan::Simulated& outcome);
// run.json, profile.jsonl, plan.json and trace.json in a folder that is made where it is not.
// Throws UserError where it holds a run's record already.
void write_simulated(const SimulatedRun& run, const plan::Simulated& outcome,
                     const std::string& folder);

}  // namespace lockstep::app
