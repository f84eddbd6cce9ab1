#include "tree_fold.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "mpi_call.h"

namespace lockstep::comm {
namespace {

float* first_tile(const Pages& tiles) { return reinterpret_cast<float*>(tiles.data()); }

std::int64_t tile_floats(const FoldPlan& plan) {
  const int tiles = std::max(plan.local_program.scratch, plan.owner_program.scratch);
  return tiles == 0 ? 0 : static_cast<std::int64_t>(plan.tile_bytes / sizeof(float)) / tiles;
}

}  // namespace

TreeFold::TreeFold(Waiter& waiter, std::unique_ptr<FoldPlan> plan,
                   std::unique_ptr<SharedWindow> window, const FoldArithmetic& arithmetic,
                   MPI_Comm messages)
    : waiter_(waiter),
      plan_(std::move(plan)),
      memory_(*plan_, std::move(window)),
      arithmetic_(arithmetic),
      node_(plan_->topology.node()),
      local_(plan_->topology.local()),
      locals_(plan_->topology.local_ranks()),
      stores_(plan_->layout, plan_->stores[local_], memory_.slot(local_, 0),
              static_cast<std::int64_t>(plan_->windows[local_].slot_bytes / sizeof(float)),
              arithmetic),
      tiles_(plan_->tile_bytes),
      local_runner_(plan_->local_program, arithmetic, first_tile(tiles_), tile_floats(*plan_)),
      owner_runner_(plan_->owner_program, arithmetic, first_tile(tiles_), tile_floats(*plan_)),
      messages_(messages),
      home_(plan_->layout.blocks.size()),
      cursor_(plan_->topology.nodes()),
      peer_bytes_(plan_->buckets()),
      streams_(plan_->layout.streams) {
  const FoldPlan& p = *plan_;
  for (int b = 0; b < p.buckets(); ++b) {
    const auto& cut = p.parts(node_, b);
    for (int l = 0; l < locals_; ++l) {
      for (int block = cut[l]; block < cut[l + 1]; ++block) home_[block] = l;
    }
    const std::int64_t part = p.part(node_, b, local_).size();
    for (int l = 0; l < locals_; ++l) {
      if (l == local_) continue;
      peer_bytes_[b] +=
          part * static_cast<std::int64_t>(p.stores[l].remaining.size() * sizeof(float));
    }
  }
  for (int l = 0; l < locals_; ++l) {
    lane_home_.insert(lane_home_.end(), p.stores[l].lanes.size(), l);
  }
  if (p.several_nodes()) {
    inbox_ = Pages(static_cast<std::size_t>(p.inbox_elements) * sizeof(float));
    exchange_.emplace(messages_, p, memory_, reinterpret_cast<float*>(inbox_.data()));
    record_messages_.emplace(messages_, p.topology, p.lanes, p.layout.record_bytes);
    for (int b = 0; b < p.buckets(); ++b) {
      for (int l = 0; l < locals_; ++l) {
        const Piece& piece = exchange_->piece_in(b, node_, l);
        if (l != local_) {
          peer_bytes_[b] +=
              piece.rows * piece.range.size() * static_cast<std::int64_t>(sizeof(float));
        }
      }
    }
  }
}

TreeFold::~TreeFold() {
  exchange_.reset();
  if (messages_ != MPI_COMM_NULL && std::uncaught_exceptions() == 0) MPI_Comm_free(&messages_);
}

void TreeFold::begin_step() {
  if (begun_) return;
  begun_ = true;
  for (int b = 0; exchange_ && b < plan_->buckets(); ++b) exchange_->receive_pieces(b);
}

// A window is written again only when all local peers have read the last sum.
void TreeFold::await_release(int stream) {
  StreamState& state = streams_[stream];
  if (state.round == round_) return;
  const auto all_released = [this] {
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

float* TreeFold::leaf(int stream, std::int64_t lane, int bucket) {
  await_release(stream);
  return stores_.leaf(stream, lane, bucket);
}

void TreeFold::push(int stream, std::int64_t lane, int bucket) {
  if (stores_.push(stream, lane, bucket)) publish(memory_.ready(local_, bucket), round_);
  if (stream == 0) progress();
}

void TreeFold::progress() {
  begin_step();
  while (folded_ < plan_->buckets() && node_is_ready(folded_)) {
    if (exchange_) {
      fold_part_for_owners(folded_);
    } else {
      fold_part(folded_);
    }
    counters_.bytes_read_peers += peer_bytes_[folded_];
    ++folded_;
  }
  while (exchange_ && owned_ < folded_ && shard_is_ready(owned_)) fold_shard(owned_++);
  while (exchange_ && returned_ < owned_ && exchange_->results_here(returned_)) {
    sum_returned(returned_);
    publish(memory_.done(local_, returned_++), round_);
  }
  if (!exchange_) returned_ = folded_;
  if (!records_published_ &&
      records_set_.load(std::memory_order_acquire) == plan_->stores[local_].lanes.size()) {
    publish_records();
  }
  watch_flight();
}

bool TreeFold::node_is_ready(int b) const {
  for (int l = 0; l < locals_; ++l) {
    if (!reached(memory_.ready(l, b), round_)) return false;
  }
  return true;
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

// One node: this rank's part of all stores, straight into its own window.
void TreeFold::fold_part(int b) {
  const ScopedTimer timer(folding_);
  const auto& cut = plan_->parts(node_, b);
  for (int block = cut[local_]; block < cut[local_ + 1]; ++block) {
    const Range& range = plan_->layout.blocks[block];
    int source = 0;
    for (int l = 0; l < locals_; ++l) {
      for (const auto& [node, slot] : plan_->stores[l].remaining) {
        local_runner_.set_source(source++, memory_.slot(l, slot) + range.begin);
      }
    }
    float* const sum = memory_.result(local_) + range.begin;
    local_runner_.set_out(0, sum);
    local_runner_.run(range.size());
    *value_place(block) = arithmetic_.sum_of_squares(sum, range.size());
  }
  publish(memory_.done(local_, b), round_);
}

// Several nodes: this rank's part, to the node's canonical nodes, into the outbox by owner.
void TreeFold::fold_part_for_owners(int b) {
  {
    const ScopedTimer timer(folding_);
    const auto& cut = plan_->parts(node_, b);
    int owner = 0;
    for (int block = cut[local_]; block < cut[local_ + 1]; ++block) {
      while (block >= plan_->shards(b)[owner + 1]) ++owner;
      const Piece& piece = exchange_->piece_out(b, owner);
      const Range& range = plan_->layout.blocks[block];
      int source = 0;
      for (int l = 0; l < locals_; ++l) {
        for (const auto& [node, slot] : plan_->stores[l].remaining) {
          local_runner_.set_source(source++, memory_.slot(l, slot) + range.begin);
        }
      }
      for (int row = 0; row < piece.rows; ++row) {
        local_runner_.set_out(row, piece.row(row) + range.begin - piece.range.begin);
      }
      local_runner_.run(range.size());
    }
  }
  publish(memory_.folded(local_, b), round_);
  exchange_->send_pieces(b);
  exchange_->receive_results(b);
}

// The owner's shard: all nodes' canonical nodes in tree order, into the window of the rank of this
// node that holds that part.
void TreeFold::fold_shard(int b) {
  {
    const ScopedTimer timer(folding_);
    const Topology& topology = plan_->topology;
    const int first = plan_->shards(b)[topology.position],
              last = plan_->shards(b)[topology.position + 1];
    std::fill(cursor_.begin(), cursor_.end(), 0);
    for (int block = first; block < last; ++block) {
      const Range& range = plan_->layout.blocks[block];
      int source = 0;
      for (int node = 0; node < topology.nodes(); ++node) {
        while (block >= plan_->parts(node, b)[cursor_[node] + 1]) ++cursor_[node];
        const Piece& piece = exchange_->piece_in(b, node, cursor_[node]);
        for (int row = 0; row < piece.rows; ++row) {
          owner_runner_.set_source(source++, piece.row(row) + range.begin - piece.range.begin);
        }
      }
      float* const sum = memory_.result(home_[block]) + range.begin;
      owner_runner_.set_out(0, sum);
      owner_runner_.run(range.size());
      *value_place(block) = arithmetic_.sum_of_squares(sum, range.size());
    }
  }
  exchange_->send_results(b);
}

// Sums of squares of what came back from owners on other nodes.
void TreeFold::sum_returned(int b) {
  const ScopedTimer timer(folding_);
  const Topology& topology = plan_->topology;
  const auto& cut = plan_->parts(node_, b);
  int owner = 0;
  for (int block = cut[local_]; block < cut[local_ + 1]; ++block) {
    while (block >= plan_->shards(b)[owner + 1]) ++owner;
    if (topology.node_of[owner] == node_) continue;
    const Range& range = plan_->layout.blocks[block];
    *value_place(block) =
        arithmetic_.sum_of_squares(memory_.result(local_) + range.begin, range.size());
  }
}

std::byte* TreeFold::record_place(std::int64_t lane, std::int64_t round) const {
  if (record_messages_) return record_messages_->record(lane);
  const int l = lane_home_[lane];
  const auto offset = static_cast<std::size_t>(lane - plan_->stores[l].lanes.begin);
  return memory_.records(l, round) + offset * plan_->layout.record_bytes;
}

void TreeFold::set_record(std::int64_t lane, const void* record) {
  const LaneRange& mine = plan_->stores[local_].lanes;
  LOCKSTEP_CHECK(mine.begin <= lane && lane < mine.end, "lane {} is not of this rank", lane);
  std::memcpy(record_place(lane, round_), record, plan_->layout.record_bytes);
  const auto set = records_set_.fetch_add(1, std::memory_order_acq_rel) + 1;
  LOCKSTEP_CHECK(set <= mine.size(), "a lane's record was set twice");
}

void TreeFold::publish_records() {
  records_published_ = true;
  if (record_messages_) {
    record_messages_->start();
    counters_.bytes_sent += record_messages_->bytes_per_step();
  } else {
    publish(memory_.recorded(local_), round_);
  }
}

bool TreeFold::records_here() {
  if (record_messages_) return record_messages_->test();
  for (int l = 0; l < locals_; ++l) {
    if (!reached(memory_.recorded(l), round_)) return false;
  }
  return true;
}

// Hidden: the time in which a published bucket of this rank was not yet summed while the rank
// computed. Seen at pushes only, so the end of a flight is rounded up to the next push.
void TreeFold::watch_flight() {
  const bool flying =
      returned_ < plan_->buckets() && reached(memory_.ready(local_, returned_), round_);
  if (flight_since_ > 0) {
    const double now = seconds_now();
    counters_.wait.hidden += std::max(0.0, now - flight_since_ - (folding_ - flight_folding_));
    flight_since_ = 0;
  }
  if (flying) {
    flight_since_ = seconds_now();
    flight_folding_ = folding_;
  }
}

void TreeFold::finish(std::int64_t step) {
  step_ = step;
  stores_.end_step();
  const double start = seconds_now(), folded_before = folding_;
  progress();
  flight_since_ = 0;  // from here on waiting is exposed
  if (!records_published_) publish_records();
  for (awaited_bucket_ = 0; awaited_bucket_ < plan_->buckets(); ++awaited_bucket_) {
    waiter_.wait({"bucket", awaited_bucket_, step}, [this] {
      progress();
      flight_since_ = 0;
      if (returned_ <= awaited_bucket_) return false;
      for (int l = 0; l < locals_; ++l) {
        if (!reached(memory_.done(l, awaited_bucket_), round_)) return false;
      }
      return true;
    });
  }
  waiter_.wait({"the lanes' records", -1, step}, [this] { return records_here(); });
  if (exchange_) {
    waiter_.wait({"the sending of sums", -1, step}, [this] { return exchange_->all_sent(); });
    counters_.bytes_sent += exchange_->bytes_sent_since_last();
  }
  counters_.wait.exposed += seconds_now() - start - (folding_ - folded_before);
  for (StreamState& state : streams_) {
    counters_.wait.exposed += state.waited;
    state.waited = 0;
  }
  counters_.fold_seconds = folding_ + stores_.seconds();
  records_set_.store(0, std::memory_order_relaxed);
  records_published_ = begun_ = false;
  folded_ = owned_ = returned_ = 0;
  ++round_;
}

const void* TreeFold::record(std::int64_t lane) const { return record_place(lane, round_ - 1); }

const float* TreeFold::sum(int block) const {
  return memory_.result(home_[block]) + plan_->layout.blocks[block].begin;
}

double TreeFold::block_value(int block) const { return *value_place(block); }

void TreeFold::release() { publish(memory_.released(local_), round_ - 1); }

}  // namespace lockstep::comm
