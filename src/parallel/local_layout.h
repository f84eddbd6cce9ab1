// How local steps share lanes and memory: functions of the options alone, for the strategy and for
// its plan.
#pragma once
#include <cstdint>

#include "lockstep/comm/fold.h"
#include "lockstep/parallel/strategy.h"

namespace lockstep::parallel {

// What a meeting is told of one step of a replica.
struct ToldStep {
  StepRecord total;  // folded over the replica's lanes
  double gradient_norm = 0;
  std::int64_t failed = 0;  // 1: something was not finite, and the replica went no further
};

// How many replicas there are. Throws UserError unless they divide the lanes and give every rank one.
std::int64_t checked_replicas(const Options& options, int ranks);
// Of a replica alone, whose lanes these are.
Options options_within(Options options, std::int64_t lanes);
// Steps from one meeting to the next, at most.
std::int64_t most_steps(const Options& options, const optim::Options& optimizer);
// buckets: BucketTable::layout().
comm::FoldLayout meeting_layout(comm::FoldLayout buckets, const Options& options,
                                std::int64_t replicas, const optim::Options& optimizer);

}  // namespace lockstep::parallel
