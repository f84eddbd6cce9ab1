#include "lane_stores.h"

#include <algorithm>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"

namespace lockstep::comm {

LaneStores::LaneStores(const FoldLayout& layout, const RankStores& stores, float* slots,
                       std::int64_t slot_floats, const FoldArithmetic& arithmetic)
    : layout_(layout),
      stores_(stores),
      blocks_(find_blocks(layout)),
      slots_(slots),
      slot_floats_(slot_floats),
      arithmetic_(arithmetic),
      complete_streams_(std::make_unique<std::atomic<int>[]>(layout.buckets.size())),
      seconds_(stores.streams.size()) {
  for (const Range& bucket : layout.buckets) {
    scratch_floats_ = std::max(scratch_floats_, bucket.size());
  }
  scratch_floats_ =
      static_cast<std::int64_t>(round_up(static_cast<std::size_t>(scratch_floats_), 64));
  scratch_buckets_ = std::min<int>(layout.open_buckets, static_cast<int>(layout.buckets.size()));
  int count = 0;
  for (const auto& stream : stores.streams) {
    scratch_index_.push_back(stream.needs_scratch ? count++ : -1);
  }
  scratch_ =
      Pages(static_cast<std::size_t>(count * scratch_buckets_ * scratch_floats_) * sizeof(float));
}

const Arrival& LaneStores::arrival(int stream, std::int64_t lane) const {
  const auto& s = stores_.streams[stream];
  LOCKSTEP_CHECK(s.lanes.begin <= lane && lane < s.lanes.end, "lane {} was not dealt to stream {}",
                 lane, stream);
  return s.schedule.arrivals[lane - s.lanes.begin];
}

float* LaneStores::scratch(int stream, int bucket) const {
  const std::int64_t index = scratch_index_[stream] * scratch_buckets_ + bucket % scratch_buckets_;
  return reinterpret_cast<float*>(scratch_.data()) + index * scratch_floats_;
}

float* LaneStores::leaf(int stream, std::int64_t lane, int bucket) {
  const int place = arrival(stream, lane).slot;
  if (place < 0) return scratch(stream, bucket);
  return slot(stores_.streams[stream].first_slot + place) + layout_.buckets[bucket].begin;
}

bool LaneStores::push(int stream, std::int64_t lane, int bucket) {
  const auto& s = stores_.streams[stream];
  const Arrival& here = arrival(stream, lane);
  const bool rounds = layout_.leaf == LeafType::kBf16;
  if (rounds || !here.merges.empty()) {
    const events::Span span(events::Kind::kFold, "merging lanes' bucket", {.number = bucket});
    const ScopedTimer timer(seconds_[stream].value);
    float* const arriving = leaf(stream, lane, bucket) - layout_.buckets[bucket].begin;
    // Block by block through all merges: a block stays in cache on its way up the tree.
    for (int i = blocks_[bucket].first; i < blocks_[bucket].last; ++i) {
      const Range& block = layout_.blocks[i];
      if (rounds) {
        float* const x = arriving + block.begin;
        arithmetic_.round_to_bf16(x, x, block.size());
      }
      for (const Merge& merge : here.merges) {
        float* into = slot(s.first_slot + merge.into) + block.begin;
        const float* from =
            (merge.from < 0 ? arriving : slot(s.first_slot + merge.from)) + block.begin;
        arithmetic_.add(into, into, from, block.size());
      }
    }
  }
  if (lane + 1 < s.lanes.end) return false;
  return complete_streams_[bucket].fetch_add(1, std::memory_order_acq_rel) + 1 ==
         stores_.busy_streams();
}

void LaneStores::end_step() {
  for (std::size_t b = 0; b < layout_.buckets.size(); ++b) {
    const int complete = complete_streams_[b].exchange(0, std::memory_order_acq_rel);
    LOCKSTEP_CHECK(complete == stores_.busy_streams(), "bucket {} was not pushed by all lanes", b);
  }
}

double LaneStores::seconds() const {
  double total = 0;
  for (const Seconds& s : seconds_) total += s.value;
  return total;
}

}  // namespace lockstep::comm
