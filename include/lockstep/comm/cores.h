// How many cores the ranks of a machine leave idle, for threads that work beside those that
// compute.
#pragma once
#include "lockstep/comm/communicator.h"

namespace lockstep::comm {

// Of this rank: the cores of its machine (by affinity masks and cgroup) less those that its ranks'
// threads take, in equal parts, rounded down; never more than are in its own mask beside its own
// threads. threads: of this rank that compute. Collective.
int spare_cores(Communicator& communicator, int threads);

}  // namespace lockstep::comm
