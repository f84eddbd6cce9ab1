// What messages of a rank meet on a machine: LogGP of the levels that lie between ranks, where the
// ranks of a unit share what leaves it. Knows no job.
#pragma once
#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"

namespace lockstep::plan {

// Messages of one rank to others, while all ranks send as much.
struct Way {
  double latency = 0, overhead = 0, gap = 0;
  double byte = 0;  // seconds of each, beside those of the others

  // Until the last of so many messages has left, and the processor's part in sending and receiving.
  double occupied(double messages, double bytes) const;
  double processor(double messages) const { return 2 * overhead * messages; }
  // From the last one's leaving to its arrival.
  double flight() const { return latency; }
};

// Between the ranks of a node; zeros where a node has one.
Way within_node(const Machine& machine, const Layout& layout);
// Between nodes, to as many peers on each: the outermost level in use has the latency, and the
// narrowest the bandwidth. Zeros on one node. Throws UserError where the machine has no such level.
Way between_nodes(const Machine& machine, const Layout& layout);
// Seconds until a rank sees that a peer of its node has raised a flag.
double flag_seconds(const Machine& machine);

}  // namespace lockstep::plan
