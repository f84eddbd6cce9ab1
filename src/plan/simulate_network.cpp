#include "plan/simulate_network.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::plan {
namespace {

// Nodes of one unit of level i; level 0 is the node.
std::int64_t nodes_of_unit(const Machine& machine, std::size_t level, std::int64_t nodes) {
  std::int64_t unit = 1;
  for (std::size_t i = 1; i <= level; ++i) {
    const std::int64_t members = machine.levels[i].members;
    unit = members == 0 ? nodes : std::min(nodes, unit * members);
  }
  return unit;
}

// The levels that messages between nodes of this layout reach: [1, end).
std::size_t end_of_levels(const Machine& machine, const Layout& layout) {
  if (machine.levels.size() < 2)
    throw UserError(
        "machine '{}' says nothing of what lies between nodes, and {} ranks take {} nodes; add a "
        "[[levels]] with name = \"network\", or ask for fewer ranks",
        machine.name, layout.ranks, layout.nodes());
  std::size_t end = 2;
  while (end < machine.levels.size() &&
         nodes_of_unit(machine, end - 1, layout.nodes()) < layout.nodes()) {
    ++end;
  }
  return end;
}

double or_unlimited(double bandwidth) { return bandwidth > 0 ? bandwidth : 1e30; }

}  // namespace

Link link_in_node(const Machine& machine) {
  if (machine.levels.empty())
    throw UserError("machine '{}' has no [[levels]]; the first is \"node\"", machine.name);
  const Level& level = machine.levels.front();
  return {level.latency, level.overhead, level.gap, or_unlimited(level.bandwidth)};
}

Link link_between_nodes(const Machine& machine, const Layout& layout) {
  Link link{0, 0, 0, 1e30};
  const std::size_t end = end_of_levels(machine, layout);
  for (std::size_t i = 1; i < end; ++i) {
    const Level& level = machine.levels[i];
    link.latency = std::max(link.latency, level.latency);
    link.overhead = std::max(link.overhead, level.overhead);
    link.gap = std::max(link.gap, level.gap);
    link.bandwidth = std::min(link.bandwidth, or_unlimited(level.bandwidth));
  }
  return link;
}

double adapters_of_node(const Machine& machine, const Layout& layout) {
  double bandwidth = or_unlimited(0);
  const std::size_t end = end_of_levels(machine, layout);
  for (std::size_t i = 1; i < end; ++i)
    bandwidth = std::min(bandwidth, or_unlimited(machine.levels[i].unit_bandwidth));
  return bandwidth;
}

Network::Network(const Machine& machine, const Layout& layout, std::int64_t played)
    : ranks_per_node_(layout.ranks_per_node), ports_(layout.ranks) {
  const std::int64_t nodes = layout.nodes();
  if (nodes == 1) return;
  link_ = link_between_nodes(machine, layout);
  const std::size_t end = end_of_levels(machine, layout);
  for (std::size_t i = 1; i < end; ++i) {
    Gates gates;
    gates.bandwidth = machine.levels[i].unit_bandwidth;
    gates.nodes = nodes_of_unit(machine, i - 1, nodes);
    gates.part = static_cast<double>(nodes - gates.nodes) / static_cast<double>(nodes - 1);
    gates.copies = static_cast<double>(gates.nodes) /
                   static_cast<double>(std::min(gates.nodes, std::max<std::int64_t>(played, 1)));
    const auto units = static_cast<std::size_t>((nodes + gates.nodes - 1) / gates.nodes);
    gates.out.resize(units);
    gates.in.resize(units);
    if (gates.bandwidth > 0) gates_.push_back(std::move(gates));
  }
}

// A unit's adapters work through what they are given in order.
double Network::pass(Gates& gates, std::vector<double>& free, std::int64_t node, double from,
                     double bytes) {
  double& at = free[static_cast<std::size_t>(node / gates.nodes)];
  at = std::max(at, from) + bytes * gates.part * gates.copies / gates.bandwidth;
  return at;
}

Network::Flight Network::send(std::int64_t rank, double time, double messages, double bytes) {
  if (messages <= 0) return {time, time};
  const double each = bytes / messages;
  const double start = std::max(time + link_.overhead, ports_[rank]);
  const double interval = std::max(link_.gap, each / link_.bandwidth);
  double leave = start + (messages - 1) * interval + each / link_.bandwidth;
  ports_[rank] = start + messages * interval;
  for (Gates& gates : gates_)
    leave = std::max(leave, pass(gates, gates.out, rank / ranks_per_node_, start, bytes));
  const double after = link_.latency + link_.overhead;
  return {start + after, leave + after};
}

double Network::receive(std::int64_t node, double first, double last, double bytes) {
  double in = last;
  for (Gates& gates : gates_) in = std::max(in, pass(gates, gates.in, node, first, bytes));
  return in;
}

}  // namespace lockstep::plan
