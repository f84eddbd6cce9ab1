#include "plan/overlap.h"

#include <algorithm>

namespace lockstep::plan {

Overlap gradient_overlap(const Traffic& traffic, const RankWork& work, const Way& way,
                         double fold) {
  if (traffic.buckets.empty() || traffic.buckets.front().pieces.count == 0) return {};
  const auto rounds = static_cast<double>(traffic.rounds);
  // A round is a pass of this rank; only the last lane's buckets leave where lanes are merged first.
  const double last = traffic.rounds > 1 ? work.lanes / rounds : work.pass;
  const double before = std::max(0.0, last - work.backward);
  const double computed = last + fold / rounds;
  double free = 0, end = 0, flight = 0;
  for (std::size_t b = 0; b < traffic.buckets.size(); ++b) {
    const BucketTraffic& bucket = traffic.buckets[b];
    const double ready = before + work.ready[b] + bucket.part * work.add;
    const double pieces = way.occupied(bucket.pieces.count, bucket.pieces.bytes);
    const double results = way.occupied(bucket.results.count, bucket.results.bytes);
    const double begun = std::max(ready, free);
    free = begun + pieces + results;
    end = begun + pieces + way.flight() + bucket.shard * work.add +
          (bucket.results.count > 0 ? results + way.flight() : 0);
    end = std::max(end, free);
    flight += end - begun;
  }
  // Every round's messages must be through before the ones after the next begin: what does not fit
  // beside a round's computing adds up.
  const double late = std::max(0.0, end - computed);
  double busy = 0;
  for (const BucketTraffic& bucket : traffic.buckets)
    busy += way.occupied(bucket.pieces.count, bucket.pieces.bytes) +
            way.occupied(bucket.results.count, bucket.results.bytes);
  Overlap overlap;
  overlap.exposed = (late + (rounds - 1) * std::max(0.0, busy - computed)) / traffic.every;
  overlap.hidden = std::max(0.0, rounds * std::min(flight, computed) / traffic.every);
  return overlap;
}

Overlap gathering_overlap(const Traffic& traffic, const RankWork& work, const Way& way,
                          double lanes_together, double passes) {
  if (traffic.gathered.count == 0 || work.use_part.empty()) return {};
  const double all = way.occupied(traffic.gathered.count, traffic.gathered.bytes);
  Overlap overlap;
  double computing = 0;  // of the use before
  for (std::size_t u = 0; u < work.use_part.size(); ++u) {
    const double bringing =
        std::max(all * work.use_part[u], traffic.gathered.count * way.gap) + way.flight();
    overlap.exposed += std::max(0.0, bringing - computing);
    overlap.hidden += std::min(bringing, computing);
    computing = work.use_seconds[u] * lanes_together / 2;
  }
  overlap.exposed *= 2 * passes;  // forward and backward
  overlap.hidden *= 2 * passes;
  return overlap;
}

}  // namespace lockstep::plan
