#include "round_plan.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "pages.h"

namespace lockstep::comm {
namespace {

std::vector<Node> leaves_of(LaneRange lanes) {
  std::vector<Node> leaves;
  for (std::int64_t lane = lanes.begin; lane < lanes.end; ++lane) leaves.push_back({0, lane});
  return leaves;
}

std::int64_t round_up_floats(std::int64_t floats) {
  return static_cast<std::int64_t>(round_up(static_cast<std::size_t>(floats), 64));
}

}  // namespace

RoundPlan::RoundPlan(const Topology& topology_, const FoldLayout& layout_)
    : topology(topology_),
      layout(layout_),
      workers(static_cast<std::int64_t>(topology.ranks()) * layout.streams),
      shards(layout, topology.ranks()),
      values(shards),
      blocks(find_blocks(layout)) {
  LOCKSTEP_CHECK(layout.sums == SumsTo::kOwners, "lanes go in rounds where owners read the sums");
  for (int node = 0; node < topology.nodes(); ++node) {
    const int ranks = topology.node_begin[node + 1] - topology.node_begin[node];
    auto& cuts = parts_.emplace_back();
    for (const BucketBlocks& b : blocks) cuts.push_back(cut_blocks(layout, b, ranks));
  }
  bucket_with.resize(layout.blocks.size());
  for (int b = 0; b < buckets(); ++b)
    std::fill(bucket_with.begin() + blocks[b].first, bucket_with.begin() + blocks[b].last, b);
  std::int64_t records = 0;
  for (int position = 0; position < topology.ranks(); ++position) {
    record_ranges.push_back({records, records + lanes_on(position)});
    records = record_ranges.back().end;
  }
  plan_rounds();
  plan_takes();
  ring = std::min(std::max(2, layout.open_buckets), std::max(1, ticks()));
  plan_memory();
}

LaneRange RoundPlan::lanes_of(int j, int first, int last) const {
  const auto lane = [&](int position) {
    return std::min(layout.lanes, j * workers + std::int64_t{position} * layout.streams);
  };
  return {lane(first), lane(last)};
}

int RoundPlan::streams_of(int position) const {
  return static_cast<int>(lanes_of(0, position, position + 1).size());
}

std::int64_t RoundPlan::lanes_on(int position) const {
  const std::int64_t whole = layout.lanes / workers;
  const int last = static_cast<int>(whole);
  return whole * layout.streams + lanes_of(last, position, position + 1).size();
}

std::int64_t RoundPlan::record_place(std::int64_t lane) const {
  return record_ranges[position_of(lane)].begin + round_of_lane(lane) * layout.streams +
         stream_of(lane);
}

Range RoundPlan::part(int node, int b, int local) const {
  const auto& cut = parts_[node][b];
  return elements_of(layout, b, blocks[b], cut[local], cut[local + 1]);
}

std::int64_t RoundPlan::outbox_place(int tick, int local, const Range& piece) const {
  if (piece.size() == 0) return 0;
  const PieceRows& rows = rounds[round_of(tick)].rows[topology.node()];
  return (tick % 2) * outbox_floats[local] +
         rows.floats(piece.begin - part(topology.node(), bucket_of(tick), local).begin);
}

// A node's lanes of a round follow each other, so that its canonical nodes are those of a range.
void RoundPlan::plan_rounds() {
  for (std::int64_t first = 0; first < layout.lanes; first += workers) {
    const int j = static_cast<int>(rounds.size());
    Round round;
    round.lanes = {first, std::min(layout.lanes, first + workers)};
    std::int64_t halves = 0;
    for (int node = 0; node < topology.nodes(); ++node) {
      const LaneRange here = lanes_of(j, topology.node_begin[node], topology.node_begin[node + 1]);
      round.rows.emplace_back(canonical_nodes(here, layout.lanes), layout.lanes, layout.leaf);
      if (several_nodes() && node == topology.node())
        round.local_program = make_program(leaves_of(here), layout.lanes);
      round.halves_before.push_back(halves);
      if (node != topology.node()) halves += round.rows.back().halves();
    }
    round.shape = shapes;
    for (const Round& earlier : rounds) {
      if (earlier.rows == round.rows) round.shape = earlier.shape;
    }
    shapes = std::max(shapes, round.shape + 1);
    rounds.push_back(std::move(round));
  }
}

void RoundPlan::plan_takes() {
  std::vector<Node> arriving;
  for (const Round& round : rounds) {
    const auto nodes = canonical_nodes(round.lanes, layout.lanes);
    arriving.insert(arriving.end(), nodes.begin(), nodes.end());
  }
  const FoldSchedule schedule = make_schedule(arriving, layout.lanes, true);
  LOCKSTEP_CHECK(schedule.remaining.size() == 1, "the rounds leave {} nodes",
                 schedule.remaining.size());
  slots = schedule.slots;
  sum_slot = schedule.remaining.front().second;
  std::size_t arrival = 0;
  for (std::size_t j = 0; j < rounds.size(); ++j) {
    Round& round = rounds[j];
    std::vector<Node> sources = leaves_of(round.lanes);
    int narrow_rows = 0;
    if (several_nodes()) {
      sources.clear();
      for (int node = 0; node < topology.nodes(); ++node) {
        const auto nodes = canonical_nodes(
            lanes_of(static_cast<int>(j), topology.node_begin[node], topology.node_begin[node + 1]),
            layout.lanes);
        sources.insert(sources.end(), nodes.begin(), nodes.end());
        narrow_rows += round.rows[node].narrow_rows();
      }
    }
    round.sources = static_cast<int>(sources.size());
    round.scratch = 1;  // for what is only added to the store
    auto at = sources.begin();
    for (const Node& node : canonical_nodes(round.lanes, layout.lanes)) {
      const auto end = std::find_if(at, sources.end(), [&](const Node& source) {
        return source.begin() >= node.end(layout.lanes);
      });
      Take take;
      take.first_source = static_cast<int>(at - sources.begin());
      take.program = make_program({at, end}, layout.lanes);
      take.arrival = schedule.arrivals[arrival++];
      LOCKSTEP_CHECK(take.program.outs == 1, "sources of a round do not make one node");
      round.scratch = std::max(round.scratch, take.program.scratch + 1);
      round.takes.push_back(std::move(take));
      at = end;
    }
    tiles = std::max({tiles, round.scratch + narrow_rows, round.local_program.scratch});
  }
}

void RoundPlan::plan_memory() {
  for (const Range& bucket : layout.buckets) leaf_floats = std::max(leaf_floats, bucket.size());
  leaf_floats = round_up_floats(leaf_floats);
  for (const Range& block : layout.blocks) tile_floats = std::max(tile_floats, block.size());
  tile_floats = round_up_floats(tile_floats);
  for (int b = 0; b < buckets(); ++b) {
    shard_begin.push_back(slot_floats);
    slot_floats += round_up_floats(shards.range(b, topology.position).size());
  }
  outbox_floats.resize(topology.local_ranks());
  for (int b = 0; b < buckets() && several_nodes(); ++b) {
    const Range shard = shards.range(b, topology.position);
    for (const Round& round : rounds) {
      std::int64_t arriving = 0;
      for (int node = 0; node < topology.nodes(); ++node) {
        if (node != topology.node()) arriving += round.rows[node].floats(shard.size());
      }
      inbox_floats = std::max(inbox_floats, round_up_floats(arriving));
      for (int l = 0; l < topology.local_ranks(); ++l) {
        const std::int64_t leaving =
            round.rows[topology.node()].floats(part(topology.node(), b, l).size());
        outbox_floats[l] = std::max(outbox_floats[l], round_up_floats(leaving));
      }
    }
  }
  for (int l = 0; l < topology.local_ranks(); ++l) windows.push_back(window_of(l));
}

RoundWindow RoundPlan::window_of(int local) const {
  const int position = topology.node_begin[topology.node()] + local;
  RoundWindow w;
  const auto place = [&w](std::size_t bytes, std::size_t alignment) {
    const std::size_t at = round_up(w.bytes, alignment);
    w.bytes = at + bytes;
    return at;
  };
  w.pushed = place(streams_of(position) * sizeof(Flag), 64);
  w.folded = place(sizeof(Flag), 64);
  w.taken = place(sizeof(Flag), 64);
  w.released = place(sizeof(Flag), 64);
  w.recorded = place(sizeof(Flag), 64);
  if (!several_nodes()) {
    w.record_set = round_up(static_cast<std::size_t>(lanes_on(position)) * layout.record_bytes, 64);
    w.records = place(2 * w.record_set, 64);
    w.values = place(static_cast<std::size_t>(values.ranges[position].size()) * sizeof(double), 64);
  }
  w.leaves = place(bytes_of(streams_of(position) * ring * leaf_floats), kPage);
  w.outbox = place(bytes_of(2 * outbox_floats[local]), kPage);
  w.bytes = round_up(w.bytes, kPage);
  return w;
}

std::size_t RoundPlan::private_bytes() const {
  std::size_t bytes = round_up(store_bytes(), kPage) + round_up(tile_bytes(), kPage) +
                      round_up(inbox_bytes(), kPage);
  if (several_nodes()) {
    bytes += round_up(static_cast<std::size_t>(layout.lanes) * layout.record_bytes, kPage) +
             round_up(layout.blocks.size() * sizeof(double), kPage);
  }
  return bytes;
}

}  // namespace lockstep::comm
