#include "lockstep/plan/job.h"

namespace lockstep::plan {

comm::Topology topology_of(const Layout& layout, int position) {
  comm::Topology topology;
  topology.position = position;
  for (std::int64_t rank = 0; rank < layout.ranks; ++rank) {
    const auto node = static_cast<int>(rank / layout.ranks_per_node);
    if (rank % layout.ranks_per_node == 0) topology.node_begin.push_back(static_cast<int>(rank));
    topology.rank_at.push_back(static_cast<int>(rank));
    topology.node_of.push_back(node);
  }
  topology.node_begin.push_back(static_cast<int>(layout.ranks));
  return topology;
}

}  // namespace lockstep::plan
