// Which part of a step's messages lies beside computing: buckets leave in the order in which
// backward completes them, over one way, sums follow when all pieces are there.
#pragma once
#include "plan/network.h"
#include "plan/rank_work.h"
#include "plan/traffic.h"

namespace lockstep::plan {

struct Overlap {
  double exposed = 0, hidden = 0;  // seconds of a step
};

// Of the messages of gradients, in all rounds. `fold`: seconds that the rank adds in each round,
// which is computing, too.
Overlap gradient_overlap(const Traffic& traffic, const RankWork& work, const Way& way, double fold);
// Stage 3: of bringing each layer from other nodes while the one before it computes.
Overlap gathering_overlap(const Traffic& traffic, const RankWork& work, const Way& way,
                          double lanes_together, double passes);

}  // namespace lockstep::plan
