#include "train/background_task.h"

#include <utility>

#include "lockstep/core/clock.h"

namespace lockstep::train {

void BackgroundTask::start(std::function<void()> work) {
  wait();
  error_ = nullptr;
  seconds_ = 0;
  over_.store(false, std::memory_order_relaxed);
  thread_ = std::thread([this, work = std::move(work)] {
    try {
      const ScopedTimer timer(seconds_);
      work();
    } catch (...) {
      error_ = std::current_exception();
    }
    over_.store(true, std::memory_order_release);
  });
}

void BackgroundTask::wait() {
  if (thread_.joinable()) thread_.join();
}

void BackgroundTask::check() {
  wait();
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace lockstep::train
