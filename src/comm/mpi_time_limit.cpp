#include "mpi_time_limit.h"

#include <unistd.h>

#include <chrono>

#include "lockstep/core/error.h"
#include "lockstep/core/host.h"
#include "lockstep/core/log.h"

namespace lockstep::comm {
namespace {

// Rank 0 speaks; another does if nobody ended the job for so long. Then the launcher passes it on.
constexpr double kPatience = 1, kForwarding = 0.05;

}  // namespace

MpiTimeLimit::MpiTimeLimit(const std::string& call, double seconds)
    : thread_([this, call, seconds] {
        if (over_within(seconds) || (!log::speaks() && over_within(kPatience))) return;
        log::error(fmt::format(
            "{} on host {} took more than {:.1f} s: a rank was not started, is stopped or stuck, "
            "or nodes do not reach each other. Look at what the launcher says (lockstep doctor "
            "tries both), or raise run.watchdog",
            call, host_name(), seconds));
        if (!over_within(kForwarding)) ::_exit(static_cast<int>(ExitCode::kHang));
      }) {}

MpiTimeLimit::~MpiTimeLimit() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  change_.notify_one();
  thread_.join();
}

bool MpiTimeLimit::over_within(double seconds) {
  std::unique_lock lock(mutex_);
  return change_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return over_; });
}

}  // namespace lockstep::comm
