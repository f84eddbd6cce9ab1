#include "train/algorithm_choice.h"

#include "lockstep/ops/algorithms.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/environment.h"

namespace lockstep::train {

void recall_algorithms(comm::Communicator& communicator, const RankDevice& device,
                       const std::optional<std::filesystem::path>& checkpoint) {
  if (!device.run_is_cuda()) return;
  communicator.together([&] {
    if (communicator.rank() != 0 || !checkpoint) return;
    const std::string environment = read_checkpoint_text(*checkpoint).environment;
    if (environment_value(environment, "gpu") != device.gpu()) return;
    ops::algorithms().from_text(environment_value(environment, "algorithms"));
  });
}

AlgorithmChoice::AlgorithmChoice(comm::Communicator& communicator, bool on_cuda)
    : communicator_(communicator), shared_(on_cuda && communicator.size() > 1) {
  if (shared_ && communicator_.rank() != 0)
    ops::algorithms().from_text(comm::broadcast_text(communicator_, ""));
}

void AlgorithmChoice::built() {
  if (shared_ && communicator_.rank() == 0)
    comm::broadcast_text(communicator_, ops::algorithms().to_text());
}

}  // namespace lockstep::train
