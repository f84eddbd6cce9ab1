#include "tree_fold.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"

namespace lockstep::comm {

TreeFold::TreeFold(Waiter& waiter, std::unique_ptr<FoldContext> context,
                   std::unique_ptr<FoldEngine> engine, std::string path)
    : waiter_(waiter),
      context_(std::move(context)),
      engine_(std::move(engine)),
      path_(std::move(path)),
      plan_(context_->plan),
      memory_(context_->memory),
      exchange_(context_->exchange),
      claims_(context_->claims),
      node_(context_->node),
      local_(context_->local),
      locals_(context_->locals),
      peer_piece_bytes_(plan_.buckets()),
      streams_(plan_.layout.streams) {
  for (int s = 0; s < plan_.layout.streams; ++s) cursors_.add(engine_->lanes(s));
  for (int l = 0; l < locals_; ++l) {
    lane_home_.insert(lane_home_.end(), plan_.stores[l].lanes.size(), l);
    if (l == local_) continue;
    peer_sources_ += static_cast<int>(plan_.stores[l].remaining.size());
    for (int b = 0; exchange_ && b < plan_.buckets(); ++b) {
      const Piece& piece = exchange_->piece_in(b, node_, l);
      peer_piece_bytes_[b] += piece.floats() * static_cast<std::int64_t>(sizeof(float));
    }
  }
  if (exchange_) {
    record_messages_.emplace(context_->messages, plan_.topology, plan_.lanes,
                             plan_.record_stride());
  }
}

void TreeFold::begin_step() {
  if (begun_) return;
  begun_ = true;
  for (int b = 0; exchange_ && b < plan_.buckets(); ++b) exchange_->receive_pieces(b);
}

// A window is written again only when all local peers have read the last sum.
void TreeFold::await_release(int stream) {
  StreamState& state = streams_[stream];
  if (state.round == round_) return;
  const auto all_released = [this] {
    look_at_release();
    for (int l = 0; l < locals_; ++l) {
      if (!reached(memory_.released(l), round_ - 1)) return false;
    }
    return true;
  };
  state.waited +=
      stream == 0
          ? waiter_.wait({"the other ranks' release of the last sum", -1, step_}, all_released)
          : spin_until(all_released);
  state.round = round_;
}

void TreeFold::release(Stream& work) {
  if (!engine_->late()) return release();
  engine_->release(work);
  release_pending_.store(true, std::memory_order_release);
}

void TreeFold::look_at_release() {
  if (!release_pending_.load(std::memory_order_acquire)) return;
  const std::unique_lock lock(releasing_, std::try_to_lock);
  if (!lock || !release_pending_.load(std::memory_order_relaxed) || !engine_->released()) return;
  release();
  release_pending_.store(false, std::memory_order_release);
}

std::int64_t TreeFold::next(int stream) {
  if (!claims_) return cursors_.next(stream);
  const Claim claim = claims_->next(stream);
  if (claim.lane < 0) return -1;
  engine_->begin_lane(stream, claim);
  StreamState& state = streams_[stream];
  state.lane_began = seconds_now();
  state.lane_waited = state.waited;
  return claim.lane;
}

LaneMoves TreeFold::moves() const {
  if (claims_) return {claims_->lanes_run(), claims_->lanes_taken(), claims_->deals()};
  return {(round_ - 1) * plan_.stores[local_].lanes.size(), 0, 0};
}

// Until its last push, waiting for peers left out.
void TreeFold::lane_is_measured(int stream, std::int64_t lane) {
  const StreamState& state = streams_[stream];
  const double seconds = seconds_now() - state.lane_began - (state.waited - state.lane_waited);
  claims_->measured(lane, static_cast<std::int64_t>(seconds * 1e9));
}

// What the streams of a host write are the stores themselves; those of a device write their own
// memory, and the stores are written by what push() gives.
float* TreeFold::leaf(int stream, std::int64_t lane, int bucket) {
  if (!engine_->late()) await_release(stream);
  return engine_->leaf(stream, lane, bucket);
}

void TreeFold::push(int stream, std::int64_t lane, int bucket) {
  if (engine_->late()) await_release(stream);
  const bool complete = engine_->push(stream, lane, bucket);
  if (complete) publish(memory_.ready(local_, bucket), round_);
  if (claims_) {
    if (bucket + 1 == plan_.buckets()) lane_is_measured(stream, lane);
    memory_.ready(local_, bucket).step.fetch_add(1, std::memory_order_acq_rel);
  }
  if (stream != 0) return;
  begin_step();
  progress();
}

bool TreeFold::all_local(Flag& (NodeMemory::*flag)(int, int) const, int b) const {
  for (int l = 0; l < locals_; ++l) {
    if (!reached((memory_.*flag)(l, b), round_)) return false;
  }
  return true;
}

// Where lanes move, the ranks' counts of pushes say it together.
bool TreeFold::stores_complete(int b) const {
  if (!claims_) return all_local(&NodeMemory::ready, b);
  std::int64_t pushes = 0;
  for (int l = 0; l < locals_; ++l)
    pushes += memory_.ready(l, b).step.load(std::memory_order_acquire);
  return pushes >= node_target();
}

void TreeFold::progress() {
  look_at_release();
  if (!begun_) return;  // between two steps
  while (computing() && engine_->stored(stored_)) publish(memory_.ready(local_, stored_++), round_);
  while (parts_.started < plan_.buckets() && stores_complete(parts_.started)) {
    engine_->start(Stage::kPart, parts_.started++);
    collect_parts();
  }
  collect_parts();
  while (exchange_ && shards_.started < parts_.done && shard_is_ready(shards_.started)) {
    engine_->start(Stage::kShard, shards_.started++);
    collect_shards();
  }
  collect_shards();
  while (exchange_ && returns_.started < shards_.done && return_is_ready(returns_.started)) {
    engine_->start(Stage::kReturn, returns_.started++);
    collect_returns();
  }
  collect_returns();
  const bool recorded =
      claims_ ? node_recorded()
              : records_set_.load(std::memory_order_acquire) == plan_.stores[local_].lanes.size();
  if (!records_published_ && recorded) publish_records();
  watch_flight();
}

void TreeFold::collect_parts() {
  while (parts_.done < parts_.started && engine_->done(Stage::kPart, parts_.done))
    part_is_folded(parts_.done++);
}

void TreeFold::part_is_folded(int b) {
  const std::int64_t sources = claims_ ? claims_->peer_sources() : peer_sources_;
  const std::int64_t bytes =
      sources * plan_.part(node_, b, local_).size() * static_cast<std::int64_t>(sizeof(float)) +
      peer_piece_bytes_[b];
  counters_.bytes_read_peers += bytes;
  events::detail(events::Kind::kFold, kReadFromPeers,
                 {.number = b, .bytes = static_cast<std::uint64_t>(bytes)});
  if (!exchange_) {
    publish(memory_.done(local_, b), round_);
    returns_.started = returns_.done = b + 1;
    return;
  }
  publish(memory_.folded(local_, b), round_);
  exchange_->send_pieces(b);
  exchange_->receive_results(b);
}

bool TreeFold::shard_is_ready(int b) {
  if (!exchange_->pieces_here(b)) return false;
  for (int l = 0; l < locals_; ++l) {
    if (exchange_->piece_in(b, node_, l).range.size() > 0 &&
        !reached(memory_.folded(l, b), round_)) {
      return false;
    }
  }
  return true;
}

void TreeFold::collect_shards() {
  while (shards_.done < shards_.started && engine_->done(Stage::kShard, shards_.done)) {
    if (engine_->late()) publish(memory_.summed(local_, shards_.done), round_);
    exchange_->send_results(shards_.done++);
  }
}

// A late engine moves on what the owners on this node, too, have summed for this rank.
bool TreeFold::return_is_ready(int b) {
  return exchange_->results_here(b) && (!engine_->late() || all_local(&NodeMemory::summed, b));
}

void TreeFold::collect_returns() {
  while (returns_.done < returns_.started && engine_->done(Stage::kReturn, returns_.done))
    publish(memory_.done(local_, returns_.done++), round_);
}

std::byte* TreeFold::record_place(std::int64_t lane, std::int64_t round) const {
  return record_messages_ ? record_messages_->record(lane) : record_at_home(lane, round);
}

std::byte* TreeFold::record_at_home(std::int64_t lane, std::int64_t round) const {
  const int l = lane_home_[lane - plan_.node_lanes().begin];
  const auto offset = static_cast<std::size_t>(lane - plan_.stores[l].lanes.begin);
  return memory_.records(l, round) + offset * plan_.layout.record_bytes;
}

// A lane that moves has its record at home, whoever runs it; between nodes it travels from there.
void TreeFold::set_record(std::int64_t lane, const void* record) {
  const LaneRange mine = claims_ ? plan_.node_lanes() : plan_.stores[local_].lanes;
  LOCKSTEP_CHECK(mine.begin <= lane && lane < mine.end, "lane {} is not of this rank", lane);
  std::memcpy(claims_ ? record_at_home(lane, round_) : record_place(lane, round_), record,
              plan_.layout.record_bytes);
  const auto set = records_set_.fetch_add(1, std::memory_order_acq_rel) + 1;
  LOCKSTEP_CHECK(set <= mine.size(), "a lane's record was set twice");
  if (claims_) memory_.recorded(local_).step.fetch_add(1, std::memory_order_acq_rel);
}

bool TreeFold::node_recorded() const {
  std::int64_t records = 0;
  for (int l = 0; l < locals_; ++l)
    records += memory_.recorded(l).step.load(std::memory_order_acquire);
  return records >= node_target();
}

void TreeFold::publish_records() {
  records_published_ = true;
  if (record_messages_) {
    const LaneRange& mine = plan_.stores[local_].lanes;
    for (std::int64_t lane = mine.begin; claims_ && lane < mine.end; ++lane) {
      std::byte* const record = record_messages_->record(lane);
      std::memcpy(record, record_at_home(lane, round_), plan_.layout.record_bytes);
      if (!plan_.deals_between_nodes()) continue;
      std::memcpy(record + plan_.time_at(), &claims_->time(lane), sizeof(LaneTime));
    }
    record_messages_->start();
    counters_.bytes_sent += record_messages_->bytes_per_step();
    events::sent("the lanes' records", record_messages_->bytes_per_step());
  } else if (!claims_) {
    publish(memory_.recorded(local_), round_);
  }
}

bool TreeFold::records_here() {
  if (claims_ && !records_published_) {
    progress();
    if (!records_published_) return false;
  }
  if (record_messages_) return record_messages_->test();
  if (claims_) return true;
  for (int l = 0; l < locals_; ++l) {
    if (!reached(memory_.recorded(l), round_)) return false;
  }
  return true;
}

// Hidden: the time in which a published bucket of this rank was not yet summed while the rank
// computed. Seen at pushes only (on a late engine in finish() too, as long as the rank's own lanes
// run), so the end of a flight is rounded up to the next look.
void TreeFold::watch_flight() {
  const bool flying = returns_.done < plan_.buckets() &&
                      (claims_ ? stores_complete(returns_.done)
                               : reached(memory_.ready(local_, returns_.done), round_));
  if (flight_since_ > 0) {
    const double now = seconds_now();
    counters_.wait.hidden +=
        std::max(0.0, now - flight_since_ - (engine_->folding() - flight_folding_));
    flight_since_ = 0;
  }
  if (flying) {
    flight_since_ = seconds_now();
    flight_folding_ = engine_->folding();
  }
}

void TreeFold::finish(std::int64_t step) {
  step_ = step;
  engine_->end_step();
  begin_step();
  double start = seconds_now();
  double folded_before = engine_->folding();
  const auto look = [&] {
    const bool computed = computing();
    progress();
    if (computed) {  // until here this rank's own lanes were still running
      start = seconds_now();
      folded_before = engine_->folding();
    }
    if (!computing()) flight_since_ = 0;  // from here on waiting is exposed
  };
  look();
  if (!records_published_ && !claims_) publish_records();
  for (awaited_bucket_ = 0; awaited_bucket_ < plan_.buckets(); ++awaited_bucket_) {
    waiter_.wait({"bucket", awaited_bucket_, step}, [&] {
      look();
      return returns_.done > awaited_bucket_ && all_local(&NodeMemory::done, awaited_bucket_);
    });
  }
  waiter_.wait({"the lanes' records", -1, step}, [this] { return records_here(); });
  if (exchange_) {
    waiter_.wait({"the sending of sums", -1, step}, [this] { return exchange_->all_sent(); });
    counters_.bytes_sent += exchange_->bytes_sent_since_last();
  }
  if (context_->values) {  // after the records on every rank: collectives match in this order
    context_->values->start();
    waiter_.wait({"the blocks' sums of squares", -1, step},
                 [this] { return context_->values->test(); });
    counters_.bytes_sent += context_->values->bytes_per_step();
    events::sent("the blocks' sums of squares", context_->values->bytes_per_step());
  }
  counters_.wait.exposed += seconds_now() - start - (engine_->folding() - folded_before);
  for (StreamState& state : streams_) {
    counters_.wait.exposed += state.waited;
    state.waited = 0;
  }
  counters_.fold_seconds = engine_->seconds();
  records_set_.store(0, std::memory_order_relaxed);
  records_published_ = begun_ = false;
  stored_ = 0;
  parts_ = shards_ = returns_ = {};
  cursors_.begin_step();
  if (claims_) claims_->end_step();
  ++round_;
}

const void* TreeFold::record(std::int64_t lane) const { return record_place(lane, round_ - 1); }

LaneTime TreeFold::time(std::int64_t lane) const {
  LaneTime time;
  std::memcpy(&time, record_messages_->record(lane) + plan_.time_at(), sizeof time);
  return time;
}

const float* TreeFold::sum(int block) const {
  LOCKSTEP_CHECK(context_->home[block] >= 0, "block {} is owned on another node", block);
  return memory_.sum(context_->home[block]) + plan_.layout.blocks[block].begin;
}

}  // namespace lockstep::comm
