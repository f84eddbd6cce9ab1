#include "node_split.h"

#include <span>
#include <string>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "topology.h"

namespace lockstep::comm {

Topology NodeSplit::topology() const { return split_nodes(communicator_.topology(), split_); }

void NodeSplit::split(bool refused) {
  const Topology& real = communicator_.topology();
  const auto flags = communicator_.gather_all(std::as_bytes(std::span(&refused, 1)));
  for (int position = 0; position < real.ranks(); ++position) {
    if (std::to_integer<int>(flags[position]) != 0) split_[real.node_of[position]] = true;
  }
}

bool NodeSplit::try_to(const std::function<void()>& make, const char* meanwhile) {
  const Topology& real = communicator_.topology();
  std::string refusal;
  try {
    make();
  } catch (const UserError& error) {
    refusal = error.what();
  }
  const bool refused = !refusal.empty();
  const std::int64_t first = communicator_.min(refused ? real.position : real.ranks());
  if (first == real.ranks()) return true;
  // A rank alone on its node, or on a node that is split already, has no other way.
  const bool hopeless = refused && (here() || real.local_ranks() == 1);
  communicator_.together([&] {
    if (hopeless) throw UserError("{}", refusal);
  });
  split(refused);
  log::warn("{}. {}", broadcast_text(communicator_, refusal, real.rank_at[first]), meanwhile);
  return false;
}

}  // namespace lockstep::comm
