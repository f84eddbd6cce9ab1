#include "fold_plan.h"

#include <algorithm>
#include <cstdlib>

#include "lane_dealer.h"
#include "lockstep/core/error.h"

namespace lockstep::comm {

TileProgram make_program(const std::vector<Node>& sources, std::int64_t lanes) {
  const FoldSchedule schedule = make_schedule(sources, lanes, false);
  TileProgram program;
  program.sources = static_cast<int>(sources.size());
  // What each slot holds: a source (>= 0) or the result of an addition (-1 - its scratch tile).
  std::vector<int> holds(schedule.slots), writer(schedule.slots, -1), free_tiles;
  int tiles = 0;
  std::vector<TileProgram::Add> adds;
  for (int i = 0; i < program.sources; ++i) {
    const Arrival& arrival = schedule.arrivals[i];
    holds[arrival.slot] = i;
    writer[arrival.slot] = -1;
    for (const Merge& merge : arrival.merges) {
      const int left = holds[merge.into], right = holds[merge.from];
      int into = 0;
      if (left < 0) {
        into = left;
        if (right < 0) free_tiles.push_back(right);
      } else if (right < 0) {
        into = right;
      } else if (!free_tiles.empty()) {
        into = free_tiles.back();
        free_tiles.pop_back();
      } else {
        into = -1 - tiles++;
      }
      adds.push_back({into, left, right});
      holds[merge.into] = into;
      writer[merge.into] = static_cast<int>(adds.size()) - 1;
    }
  }
  program.scratch = tiles;
  const auto operand = [&](int held) { return held >= 0 ? held : program.sources - 1 - held; };
  for (TileProgram::Add& add : adds) {
    program.adds.push_back({operand(add.into), operand(add.left), operand(add.right)});
  }
  for (const auto& [node, slot] : schedule.remaining) {
    const int out = program.first_out() + program.outs++;
    program.out_nodes.push_back(node);
    if (writer[slot] >= 0) {
      program.adds[writer[slot]].into =
          out;  // the last addition of this node; nothing reads it again
    } else {
      program.moves.push_back({out, operand(holds[slot])});
    }
  }
  return program;
}

// Sources are in lane order: what waits to the left of a node is its sibling or goes out, so the
// waiting nodes are a stack.
std::vector<std::uint8_t> tree_merges(const std::vector<Node>& sources, std::int64_t lanes) {
  const FoldSchedule schedule = make_schedule(sources, lanes, false);
  std::vector<std::uint8_t> merges;
  std::vector<int> stack;
  for (const Arrival& arrival : schedule.arrivals) {
    stack.push_back(arrival.slot);
    for (const Merge& merge : arrival.merges) {
      const int right = stack.back();
      stack.pop_back();
      LOCKSTEP_CHECK(merge.from == right && merge.into == stack.back(), "a tree is no stack");
    }
    merges.push_back(static_cast<std::uint8_t>(arrival.merges.size()));
  }
  return merges;
}

int RankStores::busy_streams() const {
  return static_cast<int>(std::count_if(streams.begin(), streams.end(),
                                        [](const Stream& s) { return s.lanes.size() > 0; }));
}

int RankStores::streams_with_scratch() const {
  return static_cast<int>(std::count_if(streams.begin(), streams.end(),
                                        [](const Stream& s) { return s.needs_scratch; }));
}

RankStores make_stores(const FoldLayout& layout, LaneRange lanes) {
  RankStores stores;
  stores.lanes = lanes;
  const int busy = static_cast<int>(std::min<std::int64_t>(layout.streams, lanes.size()));
  auto cut = cut_lanes(lanes, busy, layout.lanes);
  cut.resize(layout.streams, {lanes.end, lanes.end});
  for (const LaneRange& range : cut) {
    std::vector<Node> leaves;
    for (std::int64_t lane = range.begin; lane < range.end; ++lane) leaves.push_back({0, lane});
    RankStores::Stream stream;
    stream.lanes = range;
    stream.schedule = make_schedule(leaves, layout.lanes, true);
    stream.first_slot = stores.slots;
    for (const Arrival& arrival : stream.schedule.arrivals)
      stream.needs_scratch |= arrival.slot < 0;
    for (const auto& [node, slot] : stream.schedule.remaining) {
      stores.remaining.push_back({node, stores.slots + slot});
    }
    stores.slots += stream.schedule.slots;
    stores.streams.push_back(std::move(stream));
  }
  return stores;
}

MovePlan make_moves(const FoldLayout& layout, const std::vector<RankStores>& home,
                    std::int64_t most_lanes) {
  MovePlan moves;
  if (layout.dealing == Dealing::kMeasured) {
    const std::int64_t lanes = home.back().lanes.end - home.front().lanes.begin;
    moves.most_lanes =
        most_lanes > 0 ? most_lanes : most_dealt(lanes, static_cast<int>(home.size()));
    for (const RankStores& stores : home)
      moves.most_lanes = std::max(moves.most_lanes, stores.lanes.size());
    moves.depth = most_canonical((moves.most_lanes + layout.streams - 1) / layout.streams);
    return moves;
  }
  moves.extra = layout.extra;
  for (const RankStores& stores : home) {
    for (const auto& stream : stores.streams)
      moves.depth = std::max(moves.depth, stream.schedule.slots);
  }
  return moves;
}

std::vector<BucketBlocks> find_blocks(const FoldLayout& layout) {
  std::vector<BucketBlocks> found;
  for (const Range& bucket : layout.buckets) {
    const auto first = std::partition_point(layout.blocks.begin(), layout.blocks.end(),
                                            [&](const Range& b) { return b.begin < bucket.begin; });
    const auto last = std::partition_point(first, layout.blocks.end(),
                                           [&](const Range& b) { return b.begin < bucket.end; });
    LOCKSTEP_CHECK(first == last || (last - 1)->end <= bucket.end,
                   "a block crosses the end {} of its bucket", bucket.end);
    found.push_back({static_cast<int>(first - layout.blocks.begin()),
                     static_cast<int>(last - layout.blocks.begin())});
  }
  return found;
}

std::vector<int> cut_blocks(const FoldLayout& layout, BucketBlocks blocks, int parts) {
  std::vector<int> cut{blocks.first};
  if (blocks.first == blocks.last) return std::vector<int>(parts + 1, blocks.first);
  const std::int64_t begin = layout.blocks[blocks.first].begin;
  const std::int64_t size = layout.blocks[blocks.last - 1].end - begin;
  int at = blocks.first;
  for (int part = 1; part < parts; ++part) {
    const std::int64_t target = begin + size * part / parts;
    while (at < blocks.last &&
           std::abs(layout.blocks[at].end - target) <=
               std::abs((at == blocks.first ? begin : layout.blocks[at - 1].end) - target)) {
      ++at;
    }
    cut.push_back(at);
  }
  cut.push_back(blocks.last);
  return cut;
}

Range elements_of(const FoldLayout& layout, int bucket, BucketBlocks blocks, int first, int last) {
  if (first == last) return {};
  const Range& whole = layout.buckets[bucket];
  return {first == blocks.first ? whole.begin : layout.blocks[first].begin,
          last == blocks.last ? whole.end : layout.blocks[last].begin};
}

}  // namespace lockstep::comm
