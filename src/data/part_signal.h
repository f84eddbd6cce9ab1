// Wakes whoever waits for a change in a rank's part of the shared windows, in any process of the
// node. Knows nothing of what has changed: look again.
#pragma once
#include <atomic>
#include <cstdint>

namespace lockstep::data {

class PartSignal {
 public:
  std::uint32_t seen() const { return changes_.load(std::memory_order_acquire); }
  void raise();                         // after the change
  void wait(std::uint32_t seen) const;  // returns when something may have changed since

 private:
  std::atomic<std::uint32_t> changes_{0};
};

}  // namespace lockstep::data
