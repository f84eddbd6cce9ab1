#include "moving_stores.h"

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"

namespace lockstep::comm {

MovingStores::MovingStores(const FoldPlan& plan, float* slots, std::int64_t slot_floats,
                           const FoldArithmetic& arithmetic)
    : plan_(plan),
      slots_(slots),
      slot_floats_(slot_floats),
      arithmetic_(arithmetic),
      scratch_(plan.scratch_bytes),
      streams_(plan.layout.streams) {
  for (Stream& s : streams_) s.waiting.reserve(plan.moves.depth + 1);
}

void MovingStores::open(int stream, const Claim& claim) {
  Stream& s = streams_[stream];
  s.lane = claim.lane;
  s.merges = 0;
  if (!claim.own) {
    s.slot = plan_.moves.depth + claim.taken;
    return;
  }
  const std::int64_t lanes = plan_.layout.lanes;
  Node node = highest_name({0, claim.lane}, lanes);
  for (; !s.waiting.empty() && s.waiting.back() == sibling(node); ++s.merges) {
    s.waiting.pop_back();
    node = highest_name(parent(node), lanes);
  }
  s.waiting.push_back(node);
  LOCKSTEP_CHECK(static_cast<int>(s.waiting.size()) <= plan_.moves.depth,
                 "{} nodes wait in stream {} of {}, lane {} of {}, dealing {}", s.waiting.size(),
                 stream, plan_.moves.depth, claim.lane, lanes,
                 static_cast<int>(plan_.layout.dealing));
  s.slot = s.merges == 0 ? static_cast<int>(s.waiting.size()) - 1 : -1;
}

float* MovingStores::leaf(int stream, std::int64_t lane, int bucket) {
  const Stream& s = streams_[stream];
  LOCKSTEP_CHECK(s.lane == lane, "stream {} runs lane {}, not {}", stream, s.lane, lane);
  if (s.slot >= 0) return slot(stream, s.slot) + plan_.layout.buckets[bucket].begin;
  const std::int64_t index = stream * plan_.scratch_buckets() + bucket % plan_.scratch_buckets();
  return reinterpret_cast<float*>(scratch_.data()) + index * plan_.largest_bucket();
}

void MovingStores::push(int stream, std::int64_t lane, int bucket) {
  Stream& s = streams_[stream];
  const bool rounds = plan_.layout.leaf == LeafType::kBf16;
  if (!rounds && s.merges == 0) return;
  const ScopedTimer timer(s.seconds);
  float* const arriving = leaf(stream, lane, bucket) - plan_.layout.buckets[bucket].begin;
  // Block by block through all merges: a block stays in cache on its way up the tree.
  for (int i = plan_.blocks[bucket].first; i < plan_.blocks[bucket].last; ++i) {
    const Range& block = plan_.layout.blocks[i];
    const float* from = arriving + block.begin;
    if (rounds) arithmetic_.round_to_bf16(arriving + block.begin, from, block.size());
    // The first merge is with the last node that waited, which stood `merges` - 1 places further
    // right than where the sum ends.
    for (int place = static_cast<int>(s.waiting.size()) - 2 + s.merges, m = 0; m < s.merges;
         ++m, --place) {
      float* const into = slot(stream, place) + block.begin;
      arithmetic_.add(into, into, from, block.size());
      from = into;
    }
  }
}

void MovingStores::end_step() {
  for (Stream& s : streams_) {
    s.waiting.clear();
    s.lane = -1;
  }
}

double MovingStores::seconds() const {
  double total = 0;
  for (const Stream& s : streams_) total += s.seconds;
  return total;
}

}  // namespace lockstep::comm
