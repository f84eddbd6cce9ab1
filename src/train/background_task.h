// Work on a thread of its own, one piece at a time; what it throws is thrown again where the owner
// asks how it went. Knows no MPI: nothing that it runs may call it.
#pragma once
#include <atomic>
#include <exception>
#include <functional>
#include <thread>

namespace lockstep::train {

class BackgroundTask {
 public:
  BackgroundTask() = default;
  ~BackgroundTask() { wait(); }
  BackgroundTask(const BackgroundTask&) = delete;
  BackgroundTask& operator=(const BackgroundTask&) = delete;

  void start(std::function<void()> work);  // when the one before is over
  bool over() const { return over_.load(std::memory_order_acquire); }  // true before the first
  bool failed() const { return over() && error_ != nullptr; }
  void wait();
  void check();                                // waits, and throws what the work threw
  double seconds() const { return seconds_; }  // that the last work took; when it is over

 private:
  std::thread thread_;
  std::atomic<bool> over_ = true;
  std::exception_ptr error_;
  double seconds_ = 0;
};

}  // namespace lockstep::train
