// Events by their handles, and those that other processes may open.
#pragma once
#include "tests/ptx/runtime/event.h"

namespace lockstep::emulation {

cudaEvent_t keep_event(std::shared_ptr<Event> event);
Event* find_event(cudaEvent_t handle);  // null: no such event

// Gives the event a place in a file that other processes can map, and back. Throws std::bad_alloc.
void share_event(Event& event);
void unshare_event(const Event& event);

}  // namespace lockstep::emulation
