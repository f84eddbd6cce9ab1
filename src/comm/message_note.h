// What a timeline says of persistent messages: whose they are and how large. Recorded in detail
// only.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/core/events.h"

namespace lockstep::comm {

struct MessageNote {
  std::int32_t peer = -1;  // a rank
  std::int64_t bytes = 0;
};

// Bytes that this rank has read from peers' windows.
inline constexpr const char* kReadFromPeers = "read from peers for bucket";

inline void note_arrivals(const char* what, int number, const std::vector<MessageNote>& notes) {
  if (!events::detailed()) [[likely]]
    return;
  for (const MessageNote& note : notes)
    events::instant(
        events::Kind::kArrival, what,
        {.number = number, .peer = note.peer, .bytes = static_cast<std::uint64_t>(note.bytes)});
}

}  // namespace lockstep::comm
