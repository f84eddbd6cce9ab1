// Seconds of a rank's own work on a layout: its lanes, its update, its additions, and when each
// bucket of the last lane is complete.
#pragma once
#include <vector>

#include "lockstep/plan/cost.h"
#include "plan/traffic.h"

namespace lockstep::plan {

struct RankWork {
  double forward = 0, backward = 0;  // of one microbatch
  double pass = 0;                   // of a lane, gathering of its samples and accumulation included
  double lanes = 0;                  // all passes of a step
  double update = 0;                 // and what is packed after it, or for each use
  double add = 0, square = 0;        // seconds a byte
  std::vector<double> ready;         // by bucket: from the begin of a lane's last backward on
  // Stage 3: of each op that has parameters, in forward order, and its part of all parameters.
  std::vector<double> use_seconds, use_part;
};

RankWork rank_work(const Job& job, const Machine& machine, const Layout& layout,
                   const parallel::Options& parallel, const Traffic& traffic,
                   const std::vector<parallel::Bucket>& buckets);

// The job's buckets, or larger ones where `wanted` bytes are asked for: neighbours are joined.
std::vector<parallel::Bucket> joined(const std::vector<parallel::Bucket>& buckets,
                                     std::int64_t wanted);

}  // namespace lockstep::plan
