// Threads that decode the parts of a window together. The caller is one of them. Knows no data.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace lockstep::data {

class DecodePool {
 public:
  explicit DecodePool(int threads);  // the caller's included
  ~DecodePool();                     // joins
  DecodePool(const DecodePool&) = delete;
  DecodePool& operator=(const DecodePool&) = delete;
  int threads() const { return static_cast<int>(threads_.size()) + 1; }

  // body(task, thread) for each task of [0, tasks), handed out in order; returns when all are done.
  // Throws what the lowest task threw that did, whichever came first; later tasks may then be left
  // out. Allocates nothing. Called by one thread at a time.
  template <class Body>
  void run(std::int64_t tasks, const Body& body) {
    run_all(tasks, &body, [](const void* b, std::int64_t task, int thread) {
      (*static_cast<const Body*>(b))(task, thread);
    });
  }

 private:
  using Call = void (*)(const void* body, std::int64_t task, int thread);
  void run_all(std::int64_t tasks, const void* body, Call call);
  void take_tasks(int thread);
  void serve(int thread);

  std::mutex mutex_;  // of what follows, up to the next comment
  std::condition_variable begins_, ended_;
  std::uint64_t round_ = 0;
  int working_ = 0;
  bool stop_ = false;
  std::int64_t failed_ = 0;  // the lowest task that threw
  std::exception_ptr error_;
  // Written before a round begins:
  std::int64_t tasks_ = 0;
  const void* body_ = nullptr;
  Call call_ = nullptr;
  std::atomic<std::int64_t> next_{0};
  std::vector<std::thread> threads_;  // last: they use all the others
};

}  // namespace lockstep::data
