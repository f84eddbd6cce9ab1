// Buckets: contiguous runs of parameters whose gradients leave together, in the order in which the
// backward pass completes them (from the table's end). A function of the model and bucket_bytes.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/fold.h"
#include "lockstep/comm/links.h"
#include "lockstep/core/parameter_table.h"

namespace lockstep::parallel {

struct Bucket {
  int first = 0, end = 0;  // parameters [first, end) of the table
  comm::Range range;       // of the flat buffer: from a granule to a granule, padding included
};

// runs: the parameters of each op, [first, end) in table order; an op's gradients stay together. A
// bucket closes when the next run would take it past bucket_bytes; a larger run is a bucket alone.
std::vector<Bucket> make_buckets(const ParameterTable& table,
                                 const std::vector<std::pair<int, int>>& runs,
                                 std::int64_t bucket_bytes);

inline constexpr std::int64_t kLeastBucketBytes = 256 << 10, kMostBucketBytes = 8 << 20;
inline constexpr std::int64_t kNodeBucketBytes = 4 << 20;  // between ranks of one node
inline constexpr std::int64_t kWantedBuckets = 8;

// The size of a run that leaves it open, a power of two. Between nodes the least with which latency
// is at most 5 % of a bucket's time in flight; on one node (links are zero) kNodeBucketBytes, where
// flags cost nothing and caches still help. Less, down to the least, until the gradient makes
// kWantedBuckets, so that they are summed while backward still runs.
std::int64_t choose_bucket_bytes(const comm::Links& links, std::int64_t gradient_bytes);

}  // namespace lockstep::parallel
