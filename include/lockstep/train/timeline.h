// What the ranks of a run did, from the rings of events that they left: their last moments as text,
// and the whole as a timeline that chrome://tracing and ui.perfetto.dev show.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/core/event_file.h"

namespace lockstep::train {

// Of files and folders; a folder is one of rings, or a checkpoint.dir, whose folder of rings is
// meant. By rank. Throws UserError where there is none, DataError naming a file that is damaged.
std::vector<events::Ring> read_rings(const std::vector<std::string>& places);

// For each rank its step, what it was in and for how long; who waited for whom; the last `moments`
// events of all ranks in order.
std::string last_moments_text(const std::vector<events::Ring>& rings, int moments);

// Trace event format: process = rank, thread = its ring, times in microseconds from the first event
// on, on rank 0's clock. What had not ended ends with its rank's last sign of life.
std::string trace_json(const std::vector<events::Ring>& rings);

// Where rings lie in checkpoint.dir, and those of the attempt before this one.
inline constexpr const char* kEventsFolder = "events";
inline constexpr const char* kEarlierEventsFolder = "events-before";

// For a timeline of a whole run: events of a thread that are kept at least, and room for what its
// ops are called and cost.
inline constexpr std::int64_t kTraceEvents = 1 << 17;
inline constexpr std::size_t kTraceNote = 1 << 18;

}  // namespace lockstep::train
