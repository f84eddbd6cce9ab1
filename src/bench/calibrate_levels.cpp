// What lies between ranks of a node, and between nodes.
#include "bench/calibrate_parts.h"
#include "lockstep/comm/links.h"
#include "lockstep/core/units.h"

namespace lockstep::bench {
namespace {

Row row_of(const std::string& level, const std::string& what, const std::string& unit,
           const comm::LogGp::Measured& measured, bool verified) {
  Row row{"messages, " + level, what, {}, verified ? "ok" : "bytes arrived changed", 0, {}};
  row.figures = {{unit == "s" ? "least" : "most", unit, measured.value},
                 {"spread of all", "part", measured.spread}};
  return row;
}

}  // namespace

void measure_levels(comm::Communicator& communicator, const Request& request, Calibration& out) {
  const comm::Topology& topology = communicator.topology();
  const auto add = [&](comm::PairsOf which, const std::string& name) {
    const comm::LogGp found = measure_loggp(communicator, which, request.seconds);
    plan::Level level;
    level.name = name;
    level.latency = found.latency.value;
    level.overhead = found.overhead.value;
    level.gap = found.gap.value;
    level.bandwidth = found.bandwidth.value;
    // In a node messages share its memory, which Contention says more of.
    if (which == comm::PairsOf::kNeighbouringNodes)
      level.unit_bandwidth = std::max(found.bandwidth.value, found.unit_bandwidth.value);
    out.machine.levels.push_back(level);
    auto& rows = out.results.rows;
    rows.push_back(row_of(name, "latency L", "s", found.latency, found.verified));
    rows.push_back(row_of(name, "overhead o", "s", found.overhead, found.verified));
    rows.push_back(row_of(name, "gap g", "s", found.gap, found.verified));
    rows.push_back(row_of(name, "bandwidth 1 / G, a pair", "B/s", found.bandwidth, found.verified));
    rows.push_back(row_of(name, "all pairs at once", "B/s", found.unit_bandwidth, found.verified));
  };
  if (topology.node_begin[1] > 1) add(comm::PairsOf::kNode, "node");
  if (topology.nodes() > 1) add(comm::PairsOf::kNeighbouringNodes, "network");
}

}  // namespace lockstep::bench
