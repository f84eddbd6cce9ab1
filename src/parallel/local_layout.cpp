#include "parallel/local_layout.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::parallel {

std::int64_t checked_replicas(const Options& options, int ranks) {
  const std::int64_t replicas = options.replicas == 0 ? options.lanes : options.replicas;
  if (replicas > options.lanes || options.lanes % replicas != 0)
    throw UserError(
        "parallel.replicas = {} does not divide train.lanes = {}: each replica runs as many lanes "
        "as the others; change one of the two",
        replicas, options.lanes);
  if (ranks > replicas)
    throw UserError(
        "{} ranks cannot share {} replicas, each of which steps on one rank: start no more than "
        "{}, or raise parallel.replicas (up to train.lanes)",
        ranks, replicas, replicas);
  const std::int64_t lanes = options.lanes / replicas;
  if (options.streams > lanes)
    throw UserError(
        "run.threads = {}, but a replica has {} lane{} for them to share; set run.threads = {} and "
        "start more ranks, or lower parallel.replicas",
        options.streams, lanes, lanes == 1 ? "" : "s", lanes);
  if (options.assignment != Assignment::kStatic)
    throw UserError(
        "assignment.kind moves lanes between ranks, and parallel.strategy = \"local\" keeps a "
        "replica's lanes together; use assignment.kind = \"static\"");
  return replicas;
}

// Within a replica nothing travels: the contract's fold, and no rounding but the kernels' own.
Options options_within(Options options, std::int64_t lanes) {
  options.kind = Kind::kReplicated;
  options.lanes = lanes;
  options.reduce = comm::ReduceKind::kFold;
  options.leaf = comm::LeafType::kFp32;
  return options;
}

std::int64_t most_steps(const Options& options, const optim::Options& optimizer) {
  return optimizer.total_steps > 0 ? std::min(options.every, optimizer.total_steps) : options.every;
}

comm::FoldLayout meeting_layout(comm::FoldLayout layout, const Options& options,
                                std::int64_t replicas, const optim::Options& optimizer) {
  layout.lanes = replicas;
  layout.streams = 1;
  layout.record_bytes =
      static_cast<std::size_t>(most_steps(options, optimizer)) * sizeof(ToldStep);
  layout.open_buckets = 1;
  layout.leaf = options.leaf;
  return layout;
}

}  // namespace lockstep::parallel
