// stopped_rank LIMIT NODES RANK: a run in which one rank stops (SIGSTOP) in the middle of step 12
// while the others go on to finish(). For watchdog_test.sh.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "lockstep/comm/fold.h"
#include "support/fold_driver.h"

using namespace lockstep;

int main(int, char** argv) {
  const auto communicator = comm::make_communicator({std::atof(argv[1]), argv[2]});
  const comm::FoldLayout layout = test::make_layout({9001, 1000, 20000}, 5000, 8, 1);
  const auto fold =
      comm::make_fold(*communicator, layout, test::plain_arithmetic(), comm::ReduceKind::kFold);
  for (int step = 11; step < 14; ++step) {
    communicator->set_activity("backward", step);
    if (step == 12 && communicator->rank() == std::atoi(argv[3])) std::raise(SIGSTOP);
    test::run_step(*fold, layout, step, false);
    fold->release();
  }
  std::puts("nobody was missed");
}
