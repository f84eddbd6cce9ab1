// How a rank waits: it looks, lets MPI progress, and after 50 us yields the core to whoever it
// waits for. Knows nothing of what is awaited but its name.
#pragma once
#include <sched.h>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "lockstep/core/clock.h"

namespace lockstep::comm {

struct Awaited {
  const char* what = "";  // a collective, "bucket", ...
  int number = -1;        // which bucket
  std::int64_t step = -1;
};

inline constexpr double kSpinSeconds = 50e-6;

inline void spin_once() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// The one wait: spins briefly, then yields, until ready(). still_waiting(seconds) is called in
// every round. Returns the seconds waited.
template <class Ready, class StillWaiting>
double spin_until(Ready ready, StillWaiting still_waiting) {
  if (ready()) return 0;
  const double start = seconds_now();
  double waited = 0;
  do {
    if (waited < kSpinSeconds) {
      spin_once();
    } else {
      sched_yield();
    }
    still_waiting(waited);
    waited = seconds_now() - start;
  } while (!ready());
  return waited;
}

// For threads other than the communicator's: no MPI, no watchdog (stream 0 waits for the same).
template <class Ready>
double spin_until(Ready ready) {
  return spin_until(ready, [](double) {});
}

class ProgressThread;

// What both communicators offer to the fold.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // The thread that moves messages while this one computes; null: there is none.
  virtual ProgressThread* progress_thread() const { return nullptr; }
  // Calls ready() (which may progress MPI) until it is true. A wait beyond the watchdog's limit
  // ends the run. Returns the seconds waited.
  virtual double wait(const Awaited& awaited, const std::function<bool()>& ready) = 0;

  // What peers may need of this rank while it waits for something else: `progress` is called in
  // every round of every wait, until `who` leaves.
  void serve(const void* who, std::function<void()> progress) {
    served_.emplace_back(who, std::move(progress));
  }
  void leave(const void* who) {
    std::erase_if(served_, [who](const auto& served) { return served.first == who; });
  }

 protected:
  void serve_peers() {
    if (serving_) return;
    serving_ = true;
    for (const auto& [who, progress] : served_) progress();
    serving_ = false;
  }

 private:
  std::vector<std::pair<const void*, std::function<void()>>> served_;
  bool serving_ = false;
};

}  // namespace lockstep::comm
