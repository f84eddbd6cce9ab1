#include "round_adder.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::comm {

RoundAdder::RoundAdder(const RoundPlan& plan, const RoundMemory& memory,
                       const RoundExchange* exchange, const FoldArithmetic& arithmetic,
                       double* values)
    : plan_(plan),
      memory_(memory),
      exchange_(exchange),
      arithmetic_(arithmetic),
      values_(values),
      store_(plan.store_bytes()),
      tiles_(plan.tile_bytes()),
      leaves_(static_cast<std::size_t>(std::min(plan.layout.lanes, plan.workers))),
      pieces_(plan.topology.ranks()),
      cursor_(plan.topology.nodes()) {
  int sources = 0;
  for (const Round& round : plan.rounds) {
    sources = std::max(sources, round.sources);
    local_runners_.emplace_back(round.local_program, arithmetic, tile(0), plan.tile_floats);
    auto& runners = take_runners_.emplace_back();
    // Tile 0 is for what is only added to the store.
    for (const Take& take : round.takes)
      runners.emplace_back(take.program, arithmetic, tile(1), plan.tile_floats);
  }
  sources_.resize(sources);
}

float* RoundAdder::tile(int index) const {
  return reinterpret_cast<float*>(tiles_.data()) + index * plan_.tile_floats;
}

float* RoundAdder::slot(int index, int block, int bucket) const {
  const std::int64_t at =
      plan_.layout.blocks[block].begin - plan_.shards.range(bucket, plan_.topology.position).begin;
  return reinterpret_cast<float*>(store_.data()) + index * plan_.slot_floats +
         plan_.shard_begin[bucket] + at;
}

const float* RoundAdder::sums() const {
  return reinterpret_cast<const float*>(store_.data()) + plan_.sum_slot * plan_.slot_floats;
}

const float* RoundAdder::sum(int block) const {
  LOCKSTEP_CHECK(plan_.shards.owner(block) == plan_.topology.position,
                 "block {} is owned by position {}", block, plan_.shards.owner(block));
  return slot(plan_.sum_slot, block, plan_.bucket_with[block]);
}

void RoundAdder::find_leaves(int tick, LaneRange lanes) {
  const int first = plan_.topology.node_begin[plan_.topology.node()];
  for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane) {
    leaves_[lane - lanes.begin] =
        memory_.leaf(plan_.position_of(lane) - first, plan_.stream_of(lane), tick);
  }
}

void RoundAdder::fold_part(int tick) {
  const int j = plan_.round_of(tick), b = plan_.bucket_of(tick);
  const Topology& topology = plan_.topology;
  const LaneRange lanes = plan_.lanes_of(j, topology.node_begin[topology.node()],
                                         topology.node_begin[topology.node() + 1]);
  if (lanes.size() == 0) return;
  find_leaves(tick, lanes);
  TileRunner& runner = local_runners_[j];
  const auto& cut = plan_.parts(topology.node(), b);
  int owner = -1;
  Piece piece;
  for (int block = cut[topology.local()]; block < cut[topology.local() + 1]; ++block) {
    if (owner != plan_.shards.owner(block)) {
      owner = plan_.shards.owner(block);
      piece = exchange_->piece_out(tick, owner);
    }
    const Range& range = plan_.layout.blocks[block];
    const std::int64_t at = range.begin - piece.range.begin;
    for (int i = 0; i < lanes.size(); ++i)
      runner.set_source(i, leaves_[i] + range.begin - plan_.layout.buckets[b].begin);
    for (int row = 0; row < piece.rows; ++row) {
      if (!piece.form->narrow(row)) runner.set_out(row, piece.row(row) + at);
    }
    runner.run(range.size());
    for (int row = 0; row < piece.rows; ++row) {
      if (piece.form->narrow(row)) pack_bf16(piece.row(row), at, runner.moved(row), range.size());
    }
  }
}

void RoundAdder::find_pieces(int tick) {
  for (int position = 0; position < plan_.topology.ranks(); ++position)
    pieces_[position] = exchange_->piece_in(tick, position);
  std::fill(cursor_.begin(), cursor_.end(), 0);
}

// In lane order: the leaves themselves, or each node's rows from the rank whose part it is. Narrow
// rows are unpacked behind the tiles that the programs may need.
void RoundAdder::set_sources(int tick, int block) {
  const Range& range = plan_.layout.blocks[block];
  const int b = plan_.bucket_of(tick);
  const Round& round = plan_.rounds[plan_.round_of(tick)];
  if (exchange_ == nullptr) {
    for (int i = 0; i < round.sources; ++i)
      sources_[i] = leaves_[i] + range.begin - plan_.layout.buckets[b].begin;
    return;
  }
  int source = 0, narrow = round.scratch;
  for (int node = 0; node < plan_.topology.nodes(); ++node) {
    while (block >= plan_.parts(node, b)[cursor_[node] + 1]) ++cursor_[node];
    const Piece& piece = pieces_[plan_.topology.node_begin[node] + cursor_[node]];
    const std::int64_t at = range.begin - piece.range.begin;
    for (int row = 0; row < piece.rows; ++row) {
      const float* from = piece.row(row) + at;
      if (piece.form->narrow(row)) {
        float* const unpacked = tile(narrow++);
        unpack_bf16(unpacked, piece.row(row), at, range.size());
        from = unpacked;
      }
      sources_[source++] = from;
    }
  }
}

void RoundAdder::merge(int j, int block, int bucket) {
  const std::int64_t n = plan_.layout.blocks[block].size();
  const Round& round = plan_.rounds[j];
  for (std::size_t k = 0; k < round.takes.size(); ++k) {
    const Take& take = round.takes[k];
    const float* arriving = sources_[take.first_source];
    const int place = take.arrival.slot;
    if (!take.program.adds.empty() || place >= 0) {
      TileRunner& runner = take_runners_[j][k];
      for (int i = 0; i < take.program.sources; ++i)
        runner.set_source(i, sources_[take.first_source + i]);
      float* const out = place >= 0 ? slot(place, block, bucket) : tile(0);
      runner.set_out(0, out);
      runner.run(n);
      arriving = out;
    }
    for (const Merge& merge : take.arrival.merges) {
      float* const into = slot(merge.into, block, bucket);
      arithmetic_.add(into, into, merge.from < 0 ? arriving : slot(merge.from, block, bucket), n);
    }
  }
}

void RoundAdder::take(int tick) {
  const int j = plan_.round_of(tick), b = plan_.bucket_of(tick);
  const int me = plan_.topology.position;
  const auto& cut = plan_.shards.cut(b);
  if (cut[me] == cut[me + 1]) return;
  if (exchange_ == nullptr) {
    find_leaves(tick, plan_.rounds[j].lanes);
  } else {
    find_pieces(tick);
  }
  const bool last = j + 1 == static_cast<int>(plan_.rounds.size());
  for (int block = cut[me]; block < cut[me + 1]; ++block) {
    set_sources(tick, block);
    merge(j, block, b);
    if (!last) continue;
    values_[plan_.values.place[block] - plan_.values.ranges[me].begin] = arithmetic_.sum_of_squares(
        slot(plan_.sum_slot, block, b), plan_.layout.blocks[block].size());
  }
}

}  // namespace lockstep::comm
