// Which algorithms of a vendor's library the ops of a run use: rank 0 chooses when it builds its
// program, the others take its choice before they build theirs, and a run that goes on on GPUs of
// the same kind keeps the choice that its checkpoint holds. On the cpu there is nothing to choose.
#pragma once
#include <filesystem>
#include <optional>

#include "lockstep/comm/communicator.h"
#include "train/rank_device.h"

namespace lockstep::train {

// Collective. Takes up what a checkpoint of a run on the same kind of GPU has chosen.
void recall_algorithms(comm::Communicator& communicator, const RankDevice& device,
                       const std::optional<std::filesystem::path>& checkpoint);

// Lives around the making of a program. Collective, with built() after it.
class AlgorithmChoice {
 public:
  // on_cuda: the run computes on cuda devices.
  AlgorithmChoice(comm::Communicator& communicator, bool on_cuda);
  void built();

 private:
  comm::Communicator& communicator_;
  const bool shared_;
};

}  // namespace lockstep::train
