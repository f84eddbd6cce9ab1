// main of the test programs that run under mpirun: rank 0 tells how it goes, the others only their
// failures; an exception that leaves a test on one rank ends all ranks, so that nothing hangs.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "comm/progress_thread.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/core/isa.h"

namespace {

class FailuresOnly final : public testing::EmptyTestEventListener {
 public:
  explicit FailuresOnly(int rank) : rank_(rank) {}
  void OnTestStart(const testing::TestInfo& info) override { test_ = info.name(); }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "rank %d, %s: %s:%d\n%s\n", rank_, test_, result.file_name(),
                 result.line_number(), result.summary());
  }

 private:
  int rank_;
  const char* test_ = "";
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  GTEST_FLAG_SET(catch_exceptions, false);
  lockstep::set_float_environment();
  // With PROGRESS_THREAD=1 every communicator has a thread that moves messages.
  if (std::getenv("PROGRESS_THREAD") != nullptr) lockstep::comm::force_progress_threads();
  try {
    const auto world = lockstep::comm::make_communicator({});
    if (world->rank() != 0) {
      auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new FailuresOnly(world->rank()));
    }
    const int failed = RUN_ALL_TESTS();
    return static_cast<int>(world->max(failed));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    lockstep::comm::abort_all(1);
  }
}
