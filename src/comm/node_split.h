// Nodes that cannot have what their ranks would share, memory or devices that reach each other, are
// split: each of their ranks becomes a node of its own. Knows nothing of what is shared.
#pragma once
#include <functional>
#include <vector>

#include "lockstep/comm/communicator.h"

namespace lockstep::comm {

class NodeSplit {
 public:
  explicit NodeSplit(Communicator& communicator)
      : communicator_(communicator), split_(communicator.topology().nodes(), false) {}

  Topology topology() const;
  bool here() const { return split_[communicator_.topology().node()]; }

  // Collective: splits the nodes of which a rank was refused something.
  void split(bool refused);
  // Collective: every rank runs make(), which may throw UserError. False: somewhere it did; those
  // nodes are split now, and a warning gives the error followed by `meanwhile`. Where a split could
  // not help, all ranks throw the error.
  bool try_to(const std::function<void()>& make, const char* meanwhile);

 private:
  Communicator& communicator_;
  std::vector<bool> split_;
};

}  // namespace lockstep::comm
