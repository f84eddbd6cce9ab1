// The parts of a timeline in trace event format, rank by rank, so that one rank's records are in
// memory at a time. What the kinds of records become is said in docs/trace.md.
#pragma once
#include <cstdint>
#include <string>

#include "lockstep/core/event_file.h"

namespace lockstep::train {

// On the common clock; of a ring without records its last sign of life.
std::int64_t first_moment(const events::Ring& ring);
// The events of a rank, one a line, with times from `first` on: what lies between the brackets of
// "traceEvents", of several ranks put together by ",\n".
std::string trace_lines(const events::Ring& ring, std::int64_t first);
// {"displayTimeUnit":"ms","traceEvents":[ ... ],"otherData":about}; about: a JSON object.
std::string trace_head();
std::string trace_tail(const std::string& about);

}  // namespace lockstep::train
