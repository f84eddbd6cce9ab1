// Runs the work of all streams: late, on the threads that wait for it, in an order drawn by a seed
// among all that the streams and events allow. Knows tasks and what each waits for; knows nothing
// of streams, events, graphs or memory. All functions want the lock of call.h.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/ptx/runtime/call.h"

namespace lockstep::emulation {

// What is to be done; a graph shares it between launches.
struct Work {
  enum class Kind { kKernel, kCopy, kFill, kHost };
  std::string name;
  Kind kind = Kind::kKernel;
  std::function<void()> run;
  // One at a time, with device memory accessible. Not so a host function: it may wait for other
  // threads, which may run other work meanwhile.
  bool on_device() const { return kind != Kind::kHost; }
};

// The order of streams: the ready task of highest rank runs next. Ranks change now and then
// (after Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees", ASPLOS 2010).
struct Lane {
  std::uint64_t rank = 0;
};
std::shared_ptr<Lane> make_lane();

// An event of another process: the task runs once `reached` is at least `sequence`.
struct RemoteWait {
  const std::atomic<std::uint64_t>* reached = nullptr;
  std::uint64_t sequence = 0;
};

struct Task;
using TaskPtr = std::shared_ptr<Task>;
struct Task {
  std::shared_ptr<const Work> work;  // null: a point in the order where nothing is done
  std::shared_ptr<Lane> lane;        // null: ranked by itself (nodes of graphs)
  std::function<void()> at_end;      // under the lock, before those that wait are let go
  RemoteWait remote;
  std::vector<TaskPtr> next;
  int blockers = 0;
  int device = 0;
  std::uint64_t number = 0, rank = 0;
  double end = 0;  // seconds of a steady clock
  bool done = false;
};

// Fills in what the task waits for and queues it. Entries of `after` may be null or done.
TaskPtr submit(TaskPtr task, const std::vector<TaskPtr>& after);

// After the host gave work: runs some, if the settings say so. At most one call of the API in it.
void settle(Lock& lock);
// Runs tasks until done() holds; the lock is free while a task runs.
void run_until(Lock& lock, const std::function<bool()>& done);
inline void run_until_done(Lock& lock, TaskPtr task) {
  if (task) run_until(lock, [&] { return task->done; });
}
// Runs one ready task, if there is one; sometimes none, as the seed will have it.
void advance(Lock& lock);
// All tasks of the device that were given before this call.
void finish_device(Lock& lock, int device);

// The orders that are drawn from now on. Tests reach it by name: lockstep_emulation_set_seed.
void set_seed(std::uint64_t seed);

// From now on a thread in the background runs work, as a device does by itself: another process
// may wait for an event of this one.
void run_in_background();

}  // namespace lockstep::emulation
