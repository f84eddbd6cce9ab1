// Ring allreduce (Patarasuk & Yuan 2009) and its two-level form, hop by hop: what others do with
// gradients, for comparison. Knows no job.
#pragma once
#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"

namespace lockstep::plan {

// Seconds from the moment at which all ranks have `bytes` until all have the sum. Nodes are alike,
// so the ranks of one are played for all of them: exact, at 2 (ranks - 1) hops a rank.
// add: seconds a byte of adding what has come.
double ring_seconds(const Machine& machine, const Layout& layout, double bytes, double add);
// Reduce-scatter within nodes, rings of ranks of equal place between them, allgather within nodes.
double two_level_ring_seconds(const Machine& machine, const Layout& layout, double bytes,
                              double add);

}  // namespace lockstep::plan
