// The threads that run lanes: stream 0 is the caller, the others wait between rounds. run() returns
// when all streams are done; an exception of any stream is thrown again (the lowest stream's).
#pragma once
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "lockstep/device/device.h"

namespace lockstep::train {

class Streams {
 public:
  Streams(int count, Device& device);  // the device that they give work to
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  void run(const std::function<void(int stream)>& work);
  int count() const { return static_cast<int>(errors_.size()); }

 private:
  void serve(int stream);
  void run_one(int stream);

  Device& device_;
  std::vector<std::exception_ptr> errors_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  const std::function<void(int)>* work_ = nullptr;
  int round_ = 0, running_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lockstep::train
