#include "train/streams.h"

#include "lockstep/core/isa.h"

namespace lockstep::train {

Streams::Streams(int count, Device& device) : device_(device), errors_(count) {
  for (int s = 1; s < count; ++s) threads_.emplace_back([this, s] { serve(s); });
}

Streams::~Streams() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  start_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Streams::run_one(int stream) {
  try {
    (*work_)(stream);
  } catch (...) {
    errors_[stream] = std::current_exception();
  }
}

void Streams::serve(int stream) {
  set_float_environment();
  device_.enter();
  for (int seen = 0;;) {
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
    }
    run_one(stream);
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) done_.notify_one();
  }
}

void Streams::run(const std::function<void(int)>& work) {
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    running_ = static_cast<int>(threads_.size());
    ++round_;
  }
  start_.notify_all();
  run_one(0);
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_ == 0; });
  }
  for (std::exception_ptr& error : errors_) {
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
  }
}

}  // namespace lockstep::train
