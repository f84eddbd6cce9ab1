#include "parallel/ticket_sink.h"

#include <algorithm>

#include "lockstep/ops/vector.h"

namespace lockstep::parallel {

TicketSink::TicketSink(const nn::Program& program, const BucketTable& buckets,
                       const Options& options, std::function<void()> look)
    : table_(program.table()),
      buckets_(buckets),
      accumulate_(options.accumulate),
      round_(options.leaf == comm::LeafType::kBf16),
      look_(std::move(look)) {
  if (accumulate_ == 1) return;
  std::int64_t largest = 0;
  for (const Bucket& b : buckets.buckets) largest = std::max(largest, b.range.size());
  addend_.resize(static_cast<std::size_t>(largest));
}

void TicketSink::begin(float* flat, std::int64_t micro) {
  flat_ = flat;
  micro_ = micro;
}

float* TicketSink::address(int parameter) {
  const std::int64_t offset = table_[parameter].offset;
  if (micro_ == 0) return flat_ + offset;
  return addend_.data() + (offset - buckets_.buckets[buckets_.of[parameter]].range.begin);
}

void TicketSink::complete(int first, int /*end*/) {
  const Bucket& bucket = buckets_.buckets[buckets_.of[first]];
  if (bucket.first != first) return;
  float* const sum = flat_ + bucket.range.begin;
  if (micro_ > 0) ops::add(sum, sum, addend_.data(), bucket.range.size());
  if (round_ && micro_ + 1 == accumulate_) ops::round_to_bf16(sum, sum, bucket.range.size());
  if (look_) look_();
}

}  // namespace lockstep::parallel
