#include "tests/ptx/runtime/schedule.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <thread>

#include "tests/ptx/runtime/fault.h"
#include "tests/ptx/runtime/memory.h"
#include "tests/ptx/runtime/settings.h"

namespace lockstep::emulation {
namespace {

// How often a stream that has just run is ranked anew: rarely enough that one stream sometimes runs
// far ahead of another, often enough that they sometimes alternate.
constexpr unsigned kReranks = 4;
constexpr auto kBackgroundPause = std::chrono::microseconds(200);

constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15u;  // of SplitMix64

struct Queue {
  std::condition_variable changed;
  std::vector<TaskPtr> ready;
  std::vector<std::deque<TaskPtr>> given;  // of each device, in the order given; done ones go late
  bool executing = false;                  // some thread runs work of a device
  int waiting = 0;                         // threads in changed.wait
  std::uint64_t seed = settings().seed;
  std::uint64_t random = seed * kStep + 1;
  std::uint64_t numbers = 0;  // tasks given
  bool background = false;
  bool ended = false;  // the program exits: the background runs nothing more
};
// Never destroyed: threads and static objects of the program may still call at its end.
Queue& queue() {
  static Queue& q = *new Queue;
  return q;
}

thread_local bool host_function = false;

// SplitMix64 (Steele et al. 2014).
std::uint64_t draw() {
  std::uint64_t z = queue().random += kStep;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

bool can_run(const Task& task) {
  if (task.remote.reached && task.remote.reached->load() < task.remote.sequence &&
      failure() == cudaSuccess)
    return false;
  return !(queue().executing && task.work && task.work->on_device());
}

TaskPtr take() {
  Queue& q = queue();
  std::size_t best = q.ready.size();
  std::uint64_t best_rank = 0;
  for (std::size_t i = 0; i < q.ready.size(); ++i) {
    const Task& task = *q.ready[i];
    const std::uint64_t rank = task.lane ? task.lane->rank : task.rank;
    if ((best == q.ready.size() || rank > best_rank) && can_run(task)) best = i, best_rank = rank;
  }
  if (best == q.ready.size()) return nullptr;
  TaskPtr task = std::move(q.ready[best]);
  q.ready[best] = std::move(q.ready.back());
  q.ready.pop_back();
  if (task->lane && draw() % kReranks == 0) task->lane->rank = draw();
  return task;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Device memory is accessible from the first task that needs it to the end of the wait.
class Access {
 public:
  ~Access() { set(false); }
  void set(bool open) {
    if (open != open_) open ? open_device_memory() : close_device_memory();
    open_ = open;
  }

 private:
  bool open_ = false;
};

void perform(const Work& work) {
  if (settings().trace) std::fprintf(stderr, "emulated CUDA: runs %s\n", work.name.c_str());
  host_function = !work.on_device();
  run_guarded(work);
  host_function = false;
}

void execute(Lock& lock, Access& access, const TaskPtr& task) {
  Queue& q = queue();
  if (task->work && failure() == cudaSuccess) {
    const bool on_device = task->work->on_device();
    access.set(on_device);
    if (on_device) q.executing = true;
    lock.unlock();
    perform(*task->work);
    lock.lock();
    if (on_device) q.executing = false;
  }
  if (task->at_end) {
    task->end = now();
    task->at_end();
  }
  task->done = true;
  task->work.reset();
  for (TaskPtr& next : task->next)
    if (--next->blockers == 0) q.ready.push_back(std::move(next));
  task->next.clear();
  if (q.waiting > 0) q.changed.notify_all();
}

std::deque<TaskPtr>& given(int device) {
  auto& all = queue().given;
  if (all.size() <= static_cast<std::size_t>(device)) all.resize(device + 1);
  std::deque<TaskPtr>& tasks = all[device];
  while (!tasks.empty() && tasks.front()->done) tasks.pop_front();
  return tasks;
}

void background() {
  Lock lock(state_mutex());
  Queue& q = queue();
  while (!q.ended) {
    Access access;
    while (const TaskPtr task = q.ended ? nullptr : take()) execute(lock, access, task);
    access.set(false);
    ++q.waiting;
    q.changed.wait_for(lock, kBackgroundPause);
    --q.waiting;
  }
}

}  // namespace

std::mutex& state_mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

bool in_host_function() { return host_function; }

std::shared_ptr<Lane> make_lane() {
  auto lane = std::make_shared<Lane>();
  lane->rank = draw();
  return lane;
}

TaskPtr submit(TaskPtr task, const std::vector<TaskPtr>& after) {
  for (const TaskPtr& each : after) {
    if (!each || each->done) continue;
    each->next.push_back(task);
    ++task->blockers;
  }
  if (!task->lane) task->rank = draw();
  task->number = ++queue().numbers;
  given(task->device).push_back(task);
  if (task->blockers == 0) queue().ready.push_back(task);
  return task;
}

void settle(Lock& lock) {
  if (settings().eager) {
    Access access;
    while (const TaskPtr task = take()) execute(lock, access, task);
    return;
  }
  // A quarter of the seeds lets the device keep up with the host a little, another quarter nearly.
  const std::uint64_t pace = queue().seed % 4;
  if (pace == 2 && draw() % 4 == 0) advance(lock);
  if (pace == 3)
    while (draw() % 4 != 0) advance(lock);
}

void run_until(Lock& lock, const std::function<bool()>& done) {
  Queue& q = queue();
  Access access;
  while (!done()) {
    if (const TaskPtr task = take()) {
      execute(lock, access, task);
      continue;
    }
    // Another thread runs what is waited for, or another process has to reach an event.
    access.set(false);
    ++q.waiting;
    q.changed.wait_for(lock, std::chrono::microseconds(100));
    --q.waiting;
  }
}

void advance(Lock& lock) {
  if (draw() % 4 == 0) return;
  Access access;
  if (const TaskPtr task = take()) execute(lock, access, task);
}

void finish_device(Lock& lock, int device) {
  const std::uint64_t last = queue().numbers;
  // Tasks given later may run too, but are not waited for.
  run_until(lock, [=] { return given(device).empty() || given(device).front()->number > last; });
}

void set_seed(std::uint64_t seed) {
  queue().seed = seed;
  queue().random = seed * kStep + 1;
}

void run_in_background() {
  if (queue().background) return;
  queue().background = true;
  std::thread(background).detach();
  std::atexit([] {
    Lock lock(state_mutex());
    queue().ended = true;
    queue().changed.wait(lock, [] { return !queue().executing; });
  });
}

}  // namespace lockstep::emulation

extern "C" __attribute__((visibility("default"))) void lockstep_emulation_set_seed(
    std::uint64_t seed) {
  lockstep::emulation::Lock lock(lockstep::emulation::state_mutex());
  lockstep::emulation::set_seed(seed);
}
