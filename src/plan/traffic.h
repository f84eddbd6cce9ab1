// What a rank adds and sends in a step, as comm::Fold and comm::SharedFlat do it: bytes and messages
// alone. Knows no machine.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/plan/job.h"

namespace lockstep::plan {

struct Messages {
  double count = 0, bytes = 0;
};

// Of one bucket in one round of lanes (all lanes are one where a rank merges its own first). `add`:
// bytes of leaves that are added to others; `square`: bytes whose squares are summed.
struct BucketTraffic {
  double bytes = 0;             // of the gradient
  double part = 0, shard = 0;   // add: of this rank's part on its node; of the shard that it owns
  double square = 0;
  Messages pieces, results;     // to the shards' owners; sums, back to all nodes
};

struct Traffic {
  std::int64_t lanes = 0;     // of the rank that has most
  std::int64_t rounds = 1;    // in which leaves leave
  double merged = 0;          // add: bytes of the rank's own lanes, over the step
  std::vector<BucketTraffic> buckets;  // of a round
  Messages parameters;        // of an update, to other nodes: stages 1 and 2, and the owner's of 3
  Messages gathered;          // stage 3: of all parameters in a pass, to other nodes
  double records = 0;         // bytes of the small message that a rank receives
  double values = 0;          // bytes of the blocks' squares that it receives, where they travel
  double every = 1;           // steps between two exchanges (local steps)
  std::int64_t updates = 1;   // of all parameters, by a rank in a step (local: its replicas)
  double sent() const;        // bytes of a step on average
};

// Throws UserError where ranks and strategy do not go together, or the strategy is not planned.
Traffic traffic_of(const Job& job, const Layout& layout, const parallel::Options& parallel,
                   const std::vector<parallel::Bucket>& buckets);

}  // namespace lockstep::plan
