// A thread that moves messages forward while the communicator's own thread computes. Of the two one
// is in comm at any time: the own thread while it is inside, this one now and then while the other
// is outside, so that MPI is called by one thread at a time (MPI_THREAD_SERIALIZED) and a fold is
// touched by one. Never spins: it sleeps between two looks. Knows nothing of what it moves.
#pragma once
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace lockstep::comm {

class ProgressThread {
 public:
  ProgressThread();  // by the communicator's own thread, which is inside
  ~ProgressThread();
  ProgressThread(const ProgressThread&) = delete;
  ProgressThread& operator=(const ProgressThread&) = delete;

  // For the own thread. Comes back from computing: returns when this thread has ended its look, and
  // throws what it threw. Nothing happens to whoever is inside, or outside, already.
  void enter();
  void leave();
  bool inside() const { return inside_; }
  bool is_own_thread() const { return std::this_thread::get_id() == own_; }

  // What a look does; by the own thread, inside.
  void attend(const void* who, std::function<void()> progress);
  // Before what is attended goes; the own thread is inside from here on. Throws nothing: what this
  // thread threw waits for the next enter(), or is never asked for.
  void forget(const void* who) noexcept;

 private:
  void come_inside() noexcept;
  void run();
  void look();

  const std::thread::id own_ = std::this_thread::get_id();
  std::mutex door_;  // held by whoever is in comm
  bool inside_ = true;
  std::atomic<bool> watching_{false}, ends_{false};
  std::vector<std::pair<const void*, std::function<void()>>> attended_;
  std::exception_ptr failure_;
  std::thread thread_;
};

// For tests: communicators of several ranks have such a thread whatever their options say.
void force_progress_threads();
bool progress_threads_forced();

// From here to the end of its life the own thread is inside; then it is where it was before, or
// where it is told to be. Does nothing without a thread, and for threads that are not its own.
class Presence {
 public:
  explicit Presence(ProgressThread* thread)
      : thread_(thread != nullptr && thread->is_own_thread() ? thread : nullptr) {
    if (thread_ == nullptr) return;
    outside_ = !thread_->inside();
    thread_->enter();
  }
  ~Presence() {
    if (thread_ != nullptr && outside_) thread_->leave();
  }
  Presence(const Presence&) = delete;
  Presence& operator=(const Presence&) = delete;
  void then_outside() { outside_ = true; }
  void then_inside() { outside_ = false; }

 private:
  ProgressThread* const thread_;
  bool outside_ = false;
};

}  // namespace lockstep::comm
