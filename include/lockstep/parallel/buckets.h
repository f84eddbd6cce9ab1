// Buckets: contiguous runs of parameters whose gradients leave together, in the order in which the
// backward pass completes them (from the table's end). A function of the model and bucket_bytes.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/fold.h"
#include "lockstep/core/parameter_table.h"

namespace lockstep::parallel {

struct Bucket {
  int first = 0, end = 0;  // parameters [first, end) of the table
  comm::Range range;  // elements of the flat buffer, from the first block's start to the last's end
};

// A bucket closes when the next parameter would take it past bucket_bytes; a parameter larger than
// that is a bucket of its own.
std::vector<Bucket> make_buckets(const ParameterTable& table, std::int64_t bucket_bytes);

}  // namespace lockstep::parallel
