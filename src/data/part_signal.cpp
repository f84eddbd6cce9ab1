#include "part_signal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace lockstep::data {
namespace {

// Not std::atomic::wait, whose futex is of one process.
long futex(const std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* timeout) {
  return syscall(SYS_futex, &word, operation, value, timeout, nullptr, 0);
}

}  // namespace

void PartSignal::raise() {
  changes_.fetch_add(1, std::memory_order_acq_rel);
  futex(changes_, FUTEX_WAKE, INT_MAX, nullptr);
}

// A second at most, so that a peer that has died leaves nobody asleep.
void PartSignal::wait(std::uint32_t seen) const {
  const timespec second{1, 0};
  futex(changes_, FUTEX_WAIT, seen, &second);
}

}  // namespace lockstep::data
