// Whether a checkpoint's data position means the same samples in the run that goes on from it.
// Knows runs and positions, and neither files nor ranks.
#pragma once
#include <cstdint>
#include <string>

#include "lockstep/data/loader.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

// What differs of the keys that the order of samples follows from: "train.batch = 96 (48 in the
// checkpoint)", several with commas; empty if nothing does.
std::string changed_order(const Run& stored, const Run& run);

// Throws UserError naming the checkpoint if its position, in the middle of an epoch, means other
// samples in this run or none. At the start of an epoch any change is a new beginning.
void check_position(const std::string& checkpoint, data::Position at, std::int64_t steps_per_epoch,
                    const std::string& changed);

}  // namespace lockstep::train
