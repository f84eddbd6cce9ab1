// Ends the process if MPI itself does not start or end within run.watchdog: what waits there waits
// in no loop of ours, and no communicator could name who is missing.
#pragma once
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace lockstep::comm {

class MpiTimeLimit {  // while it lives
 public:
  MpiTimeLimit(const std::string& call, double seconds);
  ~MpiTimeLimit();
  MpiTimeLimit(const MpiTimeLimit&) = delete;
  MpiTimeLimit& operator=(const MpiTimeLimit&) = delete;

 private:
  bool over_within(double seconds);

  std::mutex mutex_;
  std::condition_variable change_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace lockstep::comm
