// Buckets: contiguous runs of parameters whose gradients leave together, in the order in which the
// backward pass completes them (from the table's end). A function of the model and bucket_bytes.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "lockstep/comm/fold.h"
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

}  // namespace lockstep::parallel
