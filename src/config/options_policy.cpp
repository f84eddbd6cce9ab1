// Keys of sections that say what becomes of bad numbers.
#include "config/section_tables.h"

namespace lockstep::config {

void add_policy_keys(Table& t) {
  using train::OnNonFinite;
  using train::OnSpike;
  t.push_back(choice<Run>("on_nonfinite", AT(train.on_nonfinite),
                          Words<OnNonFinite>{{"stop", OnNonFinite::kStop},
                                             {"skip", OnNonFinite::kSkip},
                                             {"rollback", OnNonFinite::kRollback}},
                          "A loss or gradient is NaN or infinite: end the run (stop), leave the "
                          "step's update out (skip), or go back to the last checkpoint and on with "
                          "the samples that follow (rollback)."));
  t.push_back(choice<Run>("on_spike", AT(train.on_spike),
                          Words<OnSpike>{{"off", OnSpike::kOff},
                                         {"report", OnSpike::kReport},
                                         {"skip", OnSpike::kSkip},
                                         {"rollback", OnSpike::kRollback}},
                          "The same for a loss or gradient norm far above those of the updates "
                          "before; report: say it and go on."));
  t.push_back(key("spike_threshold", AT(train.spike_threshold),
                  "What is far: deviations above the median, by the median distance from it "
                  "(robust z-score).")
                  .above(0));
  t.push_back(key("spike_window", AT(train.spike_window),
                  "Updates that a step is compared with; before there are so many there is no "
                  "verdict.")
                  .between(8, 4096));
  t.push_back(key("max_skips", AT(train.max_skips),
                  "Updates that may be left out one after another; one more ends the run.")
                  .at_least(0));
  t.push_back(key("max_rollbacks", AT(train.max_rollbacks),
                  "How often a run may go back; once more ends it.")
                  .at_least(0));
  t.push_back(key("rollback_skip", AT(train.rollback_skip),
                  "Steps behind the bad one whose samples a rollback leaves out, besides those up "
                  "to it.")
                  .at_least(0));
}

Option<Run> check_replicas_key() {
  return key("check_replicas", AT(run.check_replicas),
             "Steps between comparisons of the copies that ranks hold of the same numbers, which "
             "find memory that fails in silence. 0: off.")
      .at_least(0);
}

}  // namespace lockstep::config
