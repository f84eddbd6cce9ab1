// What text and trace of a timeline share: times on one clock, and what a record is called.
#pragma once
#include <cstdint>
#include <string>

#include "lockstep/core/event_file.h"

namespace lockstep::train {

std::int64_t on_common_clock(const events::Ring& ring, std::uint64_t time);     // rank 0's, in ns
std::int64_t last_sign(const events::Ring& ring);                               // on that clock
std::string ring_text(const events::Ring& ring, const events::Record& record);  // "bucket 3"
std::string what_text(const events::Ring& ring, const events::Record& record);  // "waiting for ..."

}  // namespace lockstep::train
