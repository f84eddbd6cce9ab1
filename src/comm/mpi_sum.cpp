#include "mpi_sum.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "mpi_call.h"

namespace lockstep::comm {
namespace {

std::size_t slot_bytes(const FoldLayout& layout) {
  return round_up(static_cast<std::size_t>(layout.flat_elements) * sizeof(float), kPage);
}

}  // namespace

MpiSum::MpiSum(Waiter& waiter, const Topology& topology, const FoldLayout& layout,
               const FoldArithmetic& arithmetic, MPI_Comm messages)
    : waiter_(waiter),
      topology_(topology),
      layout_(layout),
      arithmetic_(arithmetic),
      messages_(messages),
      blocks_(find_blocks(layout)),
      complete_(std::make_unique<std::atomic<bool>[]>(layout.buckets.size())),
      values_(layout.blocks.size()) {
  const auto lanes = cut_lanes(layout.lanes, topology.ranks());
  stores_ = make_stores(layout_, lanes[topology.position]);
  slots_ = Pages(stores_.slots * slot_bytes(layout_));
  lane_stores_.emplace(layout_, stores_, reinterpret_cast<float*>(slots_.data()),
                       static_cast<std::int64_t>(slot_bytes(layout_) / sizeof(float)), arithmetic);
  for (const auto& stream : stores_.streams) cursors_.add(stream.lanes);
  if (messages_ != MPI_COMM_NULL) {
    record_messages_.emplace(messages_, topology_, lanes, layout_.record_bytes);
  } else {
    records_ = Pages(static_cast<std::size_t>(layout_.lanes) * layout_.record_bytes);
  }
  for (const Range& bucket : layout_.buckets) {
    const auto pieces = messages_ != MPI_COMM_NULL ? chunks(bucket.size()) : std::vector<Chunk>{};
    requests_.emplace_back(pieces.size(), MPI_REQUEST_NULL);
  }
}

MpiSum::~MpiSum() {
  if (messages_ != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&messages_);
}

std::size_t MpiSum::private_bytes(const Topology& topology, const FoldLayout& layout) {
  const auto lanes = cut_lanes(layout.lanes, topology.ranks());
  const RankStores stores = make_stores(layout, lanes[topology.position]);
  std::int64_t largest = 0;
  for (const Range& bucket : layout.buckets) largest = std::max(largest, bucket.size());
  const std::size_t scratch = stores.streams_with_scratch() *
                              std::min<std::size_t>(layout.open_buckets, layout.buckets.size()) *
                              round_up(static_cast<std::size_t>(largest), 64) * sizeof(float);
  return stores.slots * slot_bytes(layout) + round_up(scratch, kPage) +
         round_up(static_cast<std::size_t>(layout.lanes) * layout.record_bytes, kPage);
}

void MpiSum::push(int stream, std::int64_t lane, int bucket) {
  if (lane_stores_->push(stream, lane, bucket))
    complete_[bucket].store(true, std::memory_order_release);
  if (stream == 0) progress();
}

void MpiSum::progress() {
  while (started_ < static_cast<int>(layout_.buckets.size()) &&
         complete_[started_].load(std::memory_order_acquire)) {
    start(started_++);
  }
  while (arrived_ < started_ && arrived(arrived_)) ++arrived_;
  if (flight_since_ > 0) counters_.wait.hidden += seconds_now() - flight_since_;
  flight_since_ = arrived_ < started_ ? seconds_now() : 0;
}

void MpiSum::start(int b) {
  {
    const ScopedTimer timer(folding_);
    for (int block = blocks_[b].first; block < blocks_[b].last; ++block) {
      const Range& range = layout_.blocks[block];
      float* const into = result() + range.begin;
      for (std::size_t i = 1; i < stores_.remaining.size(); ++i) {
        arithmetic_.add(into, into, lane_stores_->slot(stores_.remaining[i].second) + range.begin,
                        range.size());
      }
    }
  }
  const auto pieces = chunks(layout_.buckets[b].size());
  for (std::size_t i = 0; i < requests_[b].size(); ++i) {
    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, result() + layout_.buckets[b].begin + pieces[i].begin,
                             pieces[i].count, MPI_FLOAT, MPI_SUM, messages_, &requests_[b][i]),
              "MPI_Iallreduce");
  }
  // What a ring sends; MPI may choose another way.
  const auto bytes = layout_.buckets[b].size() * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t in_a_ring = 2 * bytes * (topology_.ranks() - 1) / topology_.ranks();
  counters_.bytes_sent += in_a_ring;
  events::sent("sum over all ranks of bucket", in_a_ring, b);
}

bool MpiSum::arrived(int b) {
  int done = 1;
  if (!requests_[b].empty()) {
    check_mpi(MPI_Testall(static_cast<int>(requests_[b].size()), requests_[b].data(), &done,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
  }
  if (!done) return false;
  const ScopedTimer timer(folding_);
  for (int block = blocks_[b].first; block < blocks_[b].last; ++block) {
    const Range& range = layout_.blocks[block];
    values_[block] = arithmetic_.sum_of_squares(result() + range.begin, range.size());
  }
  return true;
}

void MpiSum::set_record(std::int64_t lane, const void* record) {
  std::byte* const place = record_messages_ ? record_messages_->record(lane)
                                            : records_.data() + lane * layout_.record_bytes;
  std::memcpy(place, record, layout_.record_bytes);
}

const void* MpiSum::record(std::int64_t lane) const {
  return record_messages_ ? record_messages_->record(lane)
                          : records_.data() + lane * layout_.record_bytes;
}

void MpiSum::finish(std::int64_t step) {
  lane_stores_->end_step();
  cursors_.begin_step();
  const double start = seconds_now(), folded_before = folding_;
  progress();
  flight_since_ = 0;
  if (record_messages_) {
    record_messages_->start();
    const auto records = static_cast<std::int64_t>(layout_.record_bytes * stores_.lanes.size() *
                                                   (topology_.ranks() - 1));
    counters_.bytes_sent += records;
    events::sent("the lanes' records", records);
  }
  const int buckets = static_cast<int>(layout_.buckets.size());
  while (arrived_ < buckets) {
    const int awaited = arrived_;
    waiter_.wait({"bucket", awaited, step}, [this, awaited] {
      progress();
      flight_since_ = 0;
      return arrived_ > awaited;
    });
  }
  if (record_messages_) {
    waiter_.wait({"the lanes' records", -1, step}, [this] { return record_messages_->test(); });
  }
  counters_.wait.exposed += seconds_now() - start - (folding_ - folded_before);
  counters_.fold_seconds = folding_ + lane_stores_->seconds();
  for (int b = 0; b < buckets; ++b) complete_[b].store(false, std::memory_order_relaxed);
  started_ = arrived_ = 0;
}

const float* MpiSum::sum(int block) const { return result() + layout_.blocks[block].begin; }

}  // namespace lockstep::comm
