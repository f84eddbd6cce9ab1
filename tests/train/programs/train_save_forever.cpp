// train_save_forever DIR: saves checkpoints of ascending steps until it is killed.
#include "train/train_state.h"

int main(int, char** argv) {
  using namespace lockstep::train;
  const auto communicator = lockstep::comm::make_communicator({});
  for (std::int64_t step = 1;; ++step) {
    const TestState s(step, 8);
    write_checkpoint(*communicator, argv[1], s.state, TestState::text(), 2, step % 3 == 0);
  }
}
