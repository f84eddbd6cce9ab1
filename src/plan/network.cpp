#include "plan/network.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::plan {
namespace {

double inverse(double rate) { return rate > 0 ? 1 / rate : 0; }

Way way_of(const Level& level) {
  return {level.latency, level.overhead, level.gap, inverse(level.bandwidth)};
}

}  // namespace

double Way::occupied(double messages, double bytes) const {
  return std::max(messages * std::max(gap, overhead), bytes * byte);
}

Way within_node(const Machine& machine, const Layout& layout) {
  if (machine.levels.empty() || std::min(layout.ranks, layout.ranks_per_node) == 1) return {};
  return way_of(machine.levels.front());
}

Way between_nodes(const Machine& machine, const Layout& layout) {
  if (layout.nodes() == 1) return {};
  if (machine.levels.size() < 2)
    throw UserError(
        "machine {} does not say what lies between its nodes: add a level \"network\", or name one "
        "of the known ones beside it (lockstep plan --help)",
        machine.name);
  const auto nodes = static_cast<double>(layout.nodes());
  Way way;
  double unit = 1;  // nodes of what a level joins
  for (std::size_t i = 1; i < machine.levels.size(); ++i) {
    const Level& level = machine.levels[i];
    const Way here = way_of(level);
    // What leaves a unit of the level below: its ranks' messages to nodes beyond it.
    const double beyond = (nodes - unit) / (nodes - 1);
    const double ranks = unit * static_cast<double>(layout.ranks_per_node);
    way = {here.latency, here.overhead, here.gap,
           std::max({way.byte, here.byte, beyond * ranks * inverse(level.unit_bandwidth)})};
    if (level.members == 0) break;
    unit *= static_cast<double>(level.members);
    if (unit >= nodes) break;
  }
  return way;
}

double flag_seconds(const Machine& machine) {
  if (machine.levels.empty()) return 0;
  const Level& node = machine.levels.front();
  return node.flag > 0 ? node.flag : node.latency + 2 * node.overhead;
}

}  // namespace lockstep::plan
