// Drives a fold with invented gradients and compares every bit with the one tree.
#pragma once
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/fold.h"

namespace lockstep::test {

// Parameters of these sizes on granules of 64, cut in blocks of 4096; buckets from the last
// parameter to the first, closed at about `bucket_elements`.
comm::FoldLayout make_layout(const std::vector<std::int64_t>& sizes, std::int64_t bucket_elements,
                             std::int64_t lanes, int streams);

comm::FoldArithmetic plain_arithmetic();

// A gradient element with an exponent from -30 to 30, sometimes -0: a function of its name.
float invented(std::int64_t step, std::int64_t lane, std::int64_t element);
// Rounded to 8 significant bits in double, ties to even: what a leaf of bf16 keeps of it.
float rounded_to_bf16(float x);
// What every fold must give.
float expected_sum(std::int64_t step, std::int64_t lanes, std::int64_t element,
                   comm::LeafType leaf = comm::LeafType::kFp32);

struct InventedRecord {
  std::int64_t step, lane;
  double loss;
};

// Runs one step, one thread per stream. `delay`: this rank dawdles a little at its pushes.
void run_step(comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step, bool delay);
// The same; work(stream, lane) is what a lane takes before its first bucket.
void run_step(comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step,
              const std::function<void(int, std::int64_t)>& work);
// The same with all streams on this thread, bucket by bucket in turn.
void run_step_in_turn(comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step);
// The first difference from the reference, or "". Call between run_step() and release(). Where
// owners read the sums, of this position's blocks.
std::string check_step(const comm::Fold& fold, const comm::FoldLayout& layout, std::int64_t step,
                       const comm::Topology& topology = {});

}  // namespace lockstep::test
