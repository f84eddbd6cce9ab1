// A point in the order of work. Those that other processes may open keep their state in a file.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "tests/ptx/runtime/schedule.h"

namespace lockstep::emulation {

// How often an event was recorded and how far the work has come; in memory of several processes.
struct SharedEvent {
  std::atomic<std::uint64_t> recorded{0}, reached{0};
};

struct Capture;

struct Event {
  unsigned flags = 0;
  int device = 0;
  TaskPtr recorded;  // null: never
  SharedEvent* shared = nullptr;
  std::uint32_t slot = 0;  // of `shared` in the file
  // Recorded into a capture last: its nodes there.
  std::shared_ptr<Capture> capture;
  std::vector<int> nodes;

  bool done() const {
    if (shared) return shared->reached.load() >= shared->recorded.load();
    return !recorded || recorded->done;
  }
};

}  // namespace lockstep::emulation
