#include "round_fold.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"

namespace lockstep::comm {
namespace {

// Of all leaves that this rank reads in a tick, and then of the pieces on its node: what is
// others'.
std::int64_t bytes_from_peers(const RoundPlan& plan, const RoundExchange* exchange, int tick) {
  const Topology& topology = plan.topology;
  const int j = plan.round_of(tick), b = plan.bucket_of(tick), node = topology.node();
  const std::int64_t lanes =
      plan.lanes_of(j, topology.node_begin[node], topology.node_begin[node + 1]).size() -
      plan.lanes_of(j, topology.position, topology.position + 1).size();
  std::int64_t floats = lanes * (exchange == nullptr ? plan.shards.range(b, topology.position)
                                                     : plan.part(node, b, topology.local()))
                                    .size();
  for (int position = topology.node_begin[node];
       exchange != nullptr && position < topology.node_begin[node + 1]; ++position) {
    if (position != topology.position) floats += exchange->piece_in(tick, position).floats();
  }
  return floats * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

RoundFold::RoundFold(Waiter& waiter, std::unique_ptr<RoundPlan> plan,
                     std::unique_ptr<SharedWindow> window, MPI_Comm messages,
                     const FoldArithmetic& arithmetic, std::string path)
    : waiter_(waiter),
      plan_(std::move(plan)),
      memory_(*plan_, std::move(window)),
      messages_(messages),
      arithmetic_(arithmetic),
      path_(std::move(path)),
      local_(plan_->topology.local()),
      locals_(plan_->topology.local_ranks()),
      position_(plan_->topology.position),
      ticks_(plan_->ticks()),
      streams_(std::make_unique<StreamState[]>(static_cast<std::size_t>(plan_->layout.streams))) {
  double* values = memory_.values(local_);
  if (plan_->several_nodes()) {
    exchange_.emplace(messages_, *plan_, memory_);
    record_messages_.emplace(messages_, plan_->topology, plan_->record_ranges,
                             plan_->layout.record_bytes);
    value_messages_.emplace(messages_, plan_->topology, plan_->values.ranges, sizeof(double));
    values =
        reinterpret_cast<double*>(value_messages_->record(plan_->values.ranges[position_].begin));
  }
  RoundExchange* const exchange = exchange_ ? &*exchange_ : nullptr;
  adder_.emplace(*plan_, memory_, exchange, arithmetic_, values);
  for (int tick = 0; tick < ticks_; ++tick)
    peer_bytes_.push_back(bytes_from_peers(*plan_, exchange, tick));
  waiter_.serve(this, [this] { progress(); });
}

RoundFold::~RoundFold() {
  waiter_.leave(this);
  exchange_.reset();
  record_messages_.reset();
  value_messages_.reset();
  if (messages_ != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&messages_);
}

std::int64_t RoundFold::next(int stream) {
  const LaneRange lanes = plan_->lanes_of(streams_[stream].round, position_, position_ + 1);
  if (stream >= lanes.size()) return -1;
  ++streams_[stream].round;
  return lanes.begin + stream;
}

std::vector<LaneRange> RoundFold::home(int stream) const {
  std::vector<LaneRange> home;
  for (int j = 0; j < static_cast<int>(plan_->rounds.size()); ++j) {
    const LaneRange lanes = plan_->lanes_of(j, position_, position_ + 1);
    if (stream < lanes.size()) home.push_back({lanes.begin + stream, lanes.begin + stream + 1});
  }
  return home;
}

int RoundFold::tick_of(int stream, std::int64_t lane, int bucket) const {
  LOCKSTEP_CHECK(0 <= lane && lane < plan_->layout.lanes && plan_->position_of(lane) == position_ &&
                     plan_->stream_of(lane) == stream,
                 "lane {} was not dealt to stream {}", lane, stream);
  return plan_->round_of_lane(lane) * plan_->buckets() + bucket;
}

bool RoundFold::all_local(Flag& (RoundMemory::*flag)(int) const, std::int64_t count) const {
  for (int l = 0; l < locals_; ++l) {
    if (!reached((memory_.*flag)(l), count)) return false;
  }
  return true;
}

float* RoundFold::leaf(int stream, std::int64_t lane, int bucket) {
  const int tick = tick_of(stream, lane, bucket);
  StreamState& state = streams_[stream];
  if (tick >= state.opened) {
    await_readers(stream, tick);
    state.opened = tick + 1;
  }
  return memory_.leaf(local_, stream, tick);
}

// Where stream 0 may write a tick's leaf, so may the rank's other streams: they never wait for a
// thread that waits for them. While this thread waits its peers may wait for it to read theirs, so
// it goes on folding.
void RoundFold::await_readers(int stream, int tick) {
  const auto read = [this, tick] { return leaf_is_free(tick); };
  if (read()) return;
  streams_[stream].waited +=
      std::this_thread::get_id() != own_thread_
          ? spin_until(read)
          : serve_until({"the readers of an earlier bucket", plan_->bucket_of(tick), step_}, read);
}

// Seconds in which there was nothing to add.
template <class Ready>
double RoundFold::serve_until(const Awaited& awaited, const Ready& ready) {
  const double start = seconds_now(), folded_before = folding_;
  waiter_.wait(awaited, [this, &ready] {
    progress();
    flight_since_ = 0;  // waiting is exposed
    return ready();
  });
  watch_flight();
  return std::max(0.0, seconds_now() - start - (folding_ - folded_before));
}

void RoundFold::push(int stream, std::int64_t lane, int bucket) {
  const int tick = tick_of(stream, lane, bucket);
  StreamState& state = streams_[stream];
  LOCKSTEP_CHECK(tick == state.pushed && tick < state.opened, "bucket {} of lane {} out of order",
                 bucket, lane);
  if (plan_->layout.leaf == LeafType::kBf16 && arithmetic_.round_to_bf16 != nullptr) {
    const ScopedTimer timer(state.rounding);
    float* const leaf = memory_.leaf(local_, stream, tick);
    const BucketBlocks& blocks = plan_->blocks[bucket];
    for (int i = blocks.first; i < blocks.last; ++i) {
      const Range& block = plan_->layout.blocks[i];
      float* const x = leaf + block.begin - plan_->layout.buckets[bucket].begin;
      arithmetic_.round_to_bf16(x, x, block.size());
    }
  }
  ++state.pushed;
  publish(memory_.pushed(local_, stream), ticks_before_ + tick + 1);
  if (std::this_thread::get_id() == own_thread_) progress();
}

bool RoundFold::pushed(int tick, LaneRange lanes) const {
  const int first = plan_->topology.node_begin[plan_->topology.node()];
  for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane) {
    const Flag& flag = memory_.pushed(plan_->position_of(lane) - first, plan_->stream_of(lane));
    if (!reached(flag, ticks_before_ + tick + 1)) return false;
  }
  return true;
}

// What the step before left is overwritten from here on: this rank's own sums now, values and
// records once all ranks of the node have read them.
bool RoundFold::begin_step() {
  if (begun_) return true;
  if (!all_local(&RoundMemory::released, count_ - 1)) return false;
  begun_ = true;
  for (int tick = 0; exchange_ && tick < std::min(2, ticks_); ++tick) exchange_->receive(tick);
  return true;
}

bool RoundFold::may_fold(int tick) {
  const Topology& topology = plan_->topology;
  const int node = topology.node();
  if (!pushed(tick, plan_->lanes_of(plan_->round_of(tick), topology.node_begin[node],
                                    topology.node_begin[node + 1]))) {
    return false;
  }
  if (!exchange_) return true;
  // The outbox: read by the owners on this node, and sent to the others.
  return all_local(&RoundMemory::taken, freed(tick, 2)) && (tick < 2 || exchange_->sent(tick - 2));
}

void RoundFold::fold_next() {
  {
    const ScopedTimer timer(folding_);
    exchange_ ? adder_->fold_part(folded_) : adder_->take(folded_);
  }
  publish(memory_.folded(local_), ticks_before_ + folded_ + 1);
  counters_.bytes_read_peers += peer_bytes_[folded_];
  events::detail(events::Kind::kFold, kReadFromPeers,
                 {.number = plan_->bucket_of(folded_),
                  .bytes = static_cast<std::uint64_t>(peer_bytes_[folded_])});
  if (exchange_) exchange_->send(folded_);
  ++folded_;
  if (!exchange_) taken_ = folded_;
}

bool RoundFold::may_take(int tick) {
  if (!exchange_->here(tick)) return false;
  for (int l = 0; l < locals_; ++l) {
    const int peer = position_ - local_ + l;
    if (exchange_->piece_in(tick, peer).range.size() > 0 &&
        !reached(memory_.folded(l), ticks_before_ + tick + 1)) {
      return false;
    }
  }
  return true;
}

void RoundFold::take_next() {
  {
    const ScopedTimer timer(folding_);
    adder_->take(taken_);
  }
  publish(memory_.taken(local_), ticks_before_ + taken_ + 1);
  if (taken_ + 2 < ticks_) exchange_->receive(taken_ + 2);
  ++taken_;
}

void RoundFold::progress() {
  if (!begin_step()) return;
  while (folded_ < ticks_ && may_fold(folded_)) {
    fold_next();
    if (exchange_ && taken_ < ticks_ && may_take(taken_)) take_next();
  }
  while (exchange_ && taken_ < ticks_ && may_take(taken_)) take_next();
  if (!records_published_ &&
      records_set_.load(std::memory_order_acquire) == plan_->lanes_on(position_)) {
    publish_records();
  }
  watch_flight();
}

std::byte* RoundFold::record_place(std::int64_t lane, std::int64_t step) const {
  const std::int64_t place = plan_->record_place(lane);
  if (record_messages_) return record_messages_->record(place);
  const int position = plan_->position_of(lane);
  return memory_.record(position, step, place - plan_->record_ranges[position].begin);
}

void RoundFold::set_record(std::int64_t lane, const void* record) {
  LOCKSTEP_CHECK(plan_->position_of(lane) == position_, "lane {} is not of this rank", lane);
  std::memcpy(record_place(lane, count_), record, plan_->layout.record_bytes);
  const auto set = records_set_.fetch_add(1, std::memory_order_acq_rel) + 1;
  LOCKSTEP_CHECK(set <= plan_->lanes_on(position_), "a lane's record was set twice");
}

void RoundFold::publish_records() {
  records_published_ = true;
  if (record_messages_) {
    record_messages_->start();
    counters_.bytes_sent += record_messages_->bytes_per_step();
    events::sent("the lanes' records", record_messages_->bytes_per_step());
  } else {
    publish(memory_.recorded(local_), count_);
  }
}

bool RoundFold::records_here() {
  if (record_messages_) return record_messages_->test();
  return all_local(&RoundMemory::recorded, count_);
}

// Hidden: the time in which a pushed bucket of this rank was not yet in its owners' stores while
// the rank computed; seen at pushes only.
void RoundFold::watch_flight() {
  if (flight_since_ > 0) {
    counters_.wait.hidden +=
        std::max(0.0, seconds_now() - flight_since_ - (folding_ - flight_folding_));
    flight_since_ = 0;
  }
  if (taken_ < streams_[0].pushed) {
    flight_since_ = seconds_now();
    flight_folding_ = folding_;
  }
}

bool RoundFold::complete(int tick) const {
  if (exchange_) return folded_ > tick && taken_ > tick;
  return all_local(&RoundMemory::folded, ticks_before_ + tick + 1);
}

void RoundFold::finish(std::int64_t step) {
  step_ = step;
  for (int s = 0; s < plan_->layout.streams; ++s) {
    int rounds = static_cast<int>(plan_->lanes_on(position_) / plan_->layout.streams);
    if (s < plan_->lanes_on(position_) % plan_->layout.streams) ++rounds;
    LOCKSTEP_CHECK(streams_[s].pushed == rounds * plan_->buckets(),
                   "stream {} has not pushed all buckets", s);
  }
  const double start = seconds_now(), folded_before = folding_;
  const auto look = [this] {
    progress();
    flight_since_ = 0;  // from here on waiting is exposed
  };
  waiter_.wait({"the other ranks' release of the last sum", -1, step},
               [this] { return begin_step(); });
  look();
  if (!records_published_) publish_records();
  for (awaited_ = 0; awaited_ < ticks_; ++awaited_) {
    waiter_.wait({"bucket", plan_->bucket_of(awaited_), step}, [this, &look] {
      look();
      return complete(awaited_);
    });
  }
  waiter_.wait({"the lanes' records", -1, step}, [this] { return records_here(); });
  if (exchange_) send_values(step);
  counters_.wait.exposed += seconds_now() - start - (folding_ - folded_before);
  end_step();
}

// After the records on every rank: collectives match in the order in which they start.
void RoundFold::send_values(std::int64_t step) {
  value_messages_->start();
  waiter_.wait({"the blocks' sums of squares", -1, step},
               [this] { return value_messages_->test(); });
  waiter_.wait({"the sending of partial sums", -1, step}, [this] {
    return (ticks_ < 1 || exchange_->sent(ticks_ - 1)) &&
           (ticks_ < 2 || exchange_->sent(ticks_ - 2));
  });
  counters_.bytes_sent += value_messages_->bytes_per_step();
  events::sent("the blocks' sums of squares", value_messages_->bytes_per_step());
}

void RoundFold::end_step() {
  double rounding = 0;
  for (int s = 0; s < plan_->layout.streams; ++s) {
    StreamState& state = streams_[s];
    counters_.wait.exposed += state.waited;
    rounding += state.rounding;
    state.waited = 0;
    state.round = state.opened = state.pushed = 0;
  }
  counters_.fold_seconds = folding_ + rounding;
  counters_.bytes_sent += exchange_ ? exchange_->bytes_sent_since_last() : 0;
  records_set_.store(0, std::memory_order_relaxed);
  records_published_ = begun_ = false;
  folded_ = taken_ = 0;
  ticks_before_ += ticks_;
  ++count_;
}

double RoundFold::block_value(int block) const {
  const std::int64_t place = plan_->values.place[block];
  if (value_messages_) return *reinterpret_cast<double*>(value_messages_->record(place));
  const int owner = plan_->shards.owner(block);
  return memory_.values(owner)[place - plan_->values.ranges[owner].begin];
}

}  // namespace lockstep::comm
