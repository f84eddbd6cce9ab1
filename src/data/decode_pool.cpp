#include "decode_pool.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

#include "lockstep/core/crash.h"
#include "lockstep/core/events.h"
#include "lockstep/core/isa.h"

namespace lockstep::data {

DecodePool::DecodePool(int threads) {
  // Signals are the main thread's: the new threads inherit a mask that blocks them all.
  sigset_t all, before;
  sigfillset(&all);
  crash::leave_open(all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int i = 1; i < threads; ++i) threads_.emplace_back([this, i] { serve(i); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

DecodePool::~DecodePool() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
    begins_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void DecodePool::run_all(std::int64_t tasks, const void* body, Call call) {
  if (threads_.empty() || tasks == 1) {
    for (std::int64_t task = 0; task < tasks; ++task) call(body, task, 0);
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    tasks_ = tasks, body_ = body, call_ = call;
    error_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    working_ = static_cast<int>(threads_.size());
    ++round_;
    begins_.notify_all();
  }
  take_tasks(0);
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return working_ == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

// Tasks below one that threw were handed out before it, and are done before the round ends.
void DecodePool::take_tasks(int thread) {
  while (true) {
    const std::int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= tasks_) return;
    try {
      call_(body_, task, thread);
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!error_ || task < failed_) {
        error_ = std::current_exception();
        failed_ = task;
      }
      next_.store(tasks_, std::memory_order_relaxed);
    }
  }
}

void DecodePool::serve(int thread) {
  set_float_environment();
  events::name_thread("decoder");
  std::uint64_t seen = 0;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      begins_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
    }
    take_tasks(thread);
    const std::scoped_lock lock(mutex_);
    if (--working_ == 0) ended_.notify_one();
  }
}

}  // namespace lockstep::data
