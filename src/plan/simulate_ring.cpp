#include "plan/simulate_ring.h"

#include <algorithm>
#include <vector>

#include "plan/simulate_network.h"

namespace lockstep::plan {
namespace {

// links[i] leads to place i of a node, from the place before it or from the last of the node
// before. done[i]: when place i has what a step brings; a chunk is passed on as soon as it is there
// and the link is free.
double play(const std::vector<Link>& links, std::int64_t steps, std::int64_t adding, double bytes,
            double add) {
  const std::size_t places = links.size();
  std::vector<double> done(places, 0.0), next(places, 0.0), free(places, 0.0);
  for (std::int64_t step = 0; step < steps; ++step) {
    for (std::size_t i = 0; i < places; ++i) {
      const Link& link = links[i];
      const double have = done[i == 0 ? places - 1 : i - 1];
      const double start = std::max(have + link.overhead, free[i]);
      free[i] = start + std::max(link.gap, bytes / link.bandwidth);
      next[i] = start + bytes / link.bandwidth + link.latency + link.overhead +
                (step < adding ? bytes * add : 0);
    }
    std::swap(done, next);
  }
  return *std::ranges::max_element(done);
}

std::vector<Link> links_of(const Machine& machine, const Layout& layout) {
  const std::int64_t places = std::min(layout.ranks, layout.ranks_per_node);
  std::vector<Link> links(places);
  if (places > 1) std::ranges::fill(links, link_in_node(machine));
  if (layout.nodes() > 1) {
    links.front() = link_between_nodes(machine, layout);
    links.front().bandwidth = std::min(links.front().bandwidth, adapters_of_node(machine, layout));
  }
  return links;
}

}  // namespace

double ring_seconds(const Machine& machine, const Layout& layout, double bytes, double add) {
  const std::int64_t ranks = layout.ranks;
  if (ranks == 1) return 0;
  return play(links_of(machine, layout), 2 * (ranks - 1), ranks - 1,
              bytes / static_cast<double>(ranks), add);
}

double two_level_ring_seconds(const Machine& machine, const Layout& layout, double bytes,
                              double add) {
  const std::int64_t nodes = layout.nodes();
  const std::int64_t places = std::min(layout.ranks, layout.ranks_per_node);
  if (nodes == 1 || places == 1) return ring_seconds(machine, layout, bytes, add);
  const double part = bytes / static_cast<double>(places);
  const std::vector<Link> within(1, link_in_node(machine));
  Link between = link_between_nodes(machine, layout);
  // The node's rings share its adapters.
  between.bandwidth =
      std::min(between.bandwidth, adapters_of_node(machine, layout) / static_cast<double>(places));
  return play(within, places - 1, places - 1, part, add) +
         play({between}, 2 * (nodes - 1), nodes - 1, part / static_cast<double>(nodes), add) +
         play(within, places - 1, 0, part, add);
}

}  // namespace lockstep::plan
