#include "flat_buckets.h"

#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

constexpr const char* kText = "values of bucket";

}  // namespace

FlatBuckets::FlatBuckets(MPI_Comm messages, const FlatPlan& plan, const FlatMemory& memory)
    : plan_(plan),
      memory_(memory),
      local_(plan.topology.local()),
      sends_(plan.buckets.size()),
      receives_(plan.buckets.size()) {
  for (std::size_t b = 0; b < plan.buckets.size(); ++b) {
    for (const FlatMove& move : plan.buckets[b].sends) {
      sends_[b].add_send(messages, memory.flat() + move.range.begin, move.range.size(),
                         plan.topology.rank_at[move.peer]);
    }
    for (const FlatMove& move : plan.buckets[b].receives) {
      receives_[b].add_receive(messages, memory.flat() + move.range.begin, move.range.size(),
                               plan.topology.rank_at[move.peer]);
    }
  }
}

void FlatBuckets::publish(int bucket) {
  if (!begun_) {
    begun_ = true;
    ++round_;
    // Nobody reads the last step's parameters any more: they may be overwritten from here on.
    for (std::size_t b = 0; b < receives_.size(); ++b)
      receives_[b].start(kText, static_cast<int>(b));
  }
  LOCKSTEP_CHECK(bucket == published_, "bucket {} is published after {}", bucket, published_ - 1);
  sends_[bucket].start(kText, bucket);
  bytes_sent_ += sends_[bucket].bytes();
  ++published_;
  progress();
}

void FlatBuckets::progress() {
  while (arrived_ < published_ && receives_[arrived_].done()) {
    comm::publish(memory_.here(local_, arrived_++), round_);
  }
  while (sent_ < published_ && sends_[sent_].done()) ++sent_;
}

bool FlatBuckets::here(int bucket) const {
  for (int l = 0; l < plan_.locals(); ++l) {
    if (!reached(memory_.here(l, bucket), round_)) return false;
  }
  return true;
}

bool FlatBuckets::sent() {
  progress();
  return sent_ == published_;
}

void FlatBuckets::end_step() {
  begun_ = false;
  published_ = arrived_ = sent_ = 0;
}

}  // namespace lockstep::comm
