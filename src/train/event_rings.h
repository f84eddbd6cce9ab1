// The files in which the ranks of a run keep their last events: made when the run has its folder,
// gone when it ends well. What an earlier attempt left is set aside until the next one leaves some.
#pragma once
#include <filesystem>
#include <memory>

#include "train/observer.h"

namespace lockstep::train {

// Collective. A run whose files cannot be made (a warning says so) keeps its events in memory.
// before: what `folder` holds goes there.
void open_event_rings(comm::Communicator& communicator, const std::filesystem::path& folder,
                      const std::filesystem::path& before);
// Removes this rank's file at an end by itself or on a signal.
std::unique_ptr<Observer> make_event_rings();

}  // namespace lockstep::train
