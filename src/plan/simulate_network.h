// Messages between ranks by LogGP (Alexandrov et al. 1995) on levels whose units share what leaves
// them. A rank's messages of one stage go out together, a volley: one after the other by its port,
// all through the adapters of its node and the uplinks above. Knows no bucket and no lane.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"

namespace lockstep::plan {

// What lies between two ranks of one node, or of nodes as far apart as the layout has them.
struct Link {
  double latency = 0, overhead = 0, gap = 0, bandwidth = 0;
  double message(double bytes) const { return latency + 2 * overhead + bytes / bandwidth; }
};
Link link_in_node(const Machine& machine);
// Throws UserError naming the machine's key where it has no level between nodes.
Link link_between_nodes(const Machine& machine, const Layout& layout);
// Of all that leaves a node, bytes/s.
double adapters_of_node(const Machine& machine, const Layout& layout);

class Network {
 public:
  // played: nodes whose messages are given; fewer than the layout's stand for all of them.
  Network(const Machine& machine, const Layout& layout, std::int64_t played);

  struct Flight {
    double first = 0, last = 0;  // when the first byte is at a receiver, and when all is
  };
  // Of one rank to ranks of all other nodes alike, from `time` on.
  Flight send(std::int64_t rank, double time, double messages, double bytes);
  // When `bytes` that are under way from `first` to `last` have come into a node.
  double receive(std::int64_t node, double first, double last, double bytes);
  double overhead() const { return link_.overhead; }

 private:
  // Of the units of a level: a node's adapters, a rack's uplinks.
  struct Gates {
    double bandwidth = 0;    // 0: no limit
    std::int64_t nodes = 1;  // of a unit
    double part = 1;         // of what leaves a node, how much leaves the unit too
    double copies = 1;       // nodes of a unit for each that is played
    std::vector<double> out, in;
  };
  static double pass(Gates& gates, std::vector<double>& free, std::int64_t node, double from,
                     double bytes);
  Link link_;
  std::int64_t ranks_per_node_;
  std::vector<double> ports_;
  std::vector<Gates> gates_;
};

}  // namespace lockstep::plan
