// Who adds what: every rank's lanes and stores, the parts and shards of each bucket, and the little
// programs of additions. Functions of topology and layout alone, so that every rank can plan for
// its peers. Knows neither memory nor messages.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "lockstep/comm/fold.h"

namespace lockstep::comm {

// Additions over a tile, symbolically: operand i stands for source i, then scratch tiles, then
// outs.
struct TileProgram {
  struct Add {
    int into, left, right;
  };
  int sources = 0, scratch = 0, outs = 0;
  std::vector<Add> adds;
  std::vector<std::pair<int, int>> moves;  // {into, from}: a source that is already an out
  std::vector<Node> out_nodes;
  int first_scratch() const { return sources; }
  int first_out() const { return sources + scratch; }
  int operands() const { return sources + scratch + outs; }
};
// The same additions as a stack: how many merges follow each source (Tree::merges).
std::vector<std::uint8_t> tree_merges(const std::vector<Node>& sources, std::int64_t lanes);
TileProgram make_program(const std::vector<Node>& sources, std::int64_t lanes);

// The lanes of one rank and the node stores of its streams. Slots are numbered over all streams.
struct RankStores {
  struct Stream {
    LaneRange lanes;
    FoldSchedule schedule;
    int first_slot = 0;
    bool needs_scratch = false;  // some leaf is merged from where it was written
  };
  LaneRange lanes;
  std::vector<Stream> streams;  // FoldLayout::streams; some may have no lanes
  int slots = 0;
  std::vector<std::pair<Node, int>> remaining;  // in lane order: node, slot
  int result_slot() const { return remaining.empty() ? 0 : remaining.front().second; }
  int busy_streams() const;  // with lanes
  int streams_with_scratch() const;
};
RankStores make_stores(const FoldLayout& layout, LaneRange lanes);

// Where a stream keeps partial sums when lanes move: its own lanes' canonical nodes in lane order,
// then the leaves of lanes that it has taken over, one each.
struct MovePlan {
  int depth = 0;                // most canonical nodes of a stream's own lanes
  int extra = 0;                // lanes that it may take over
  std::int64_t most_lanes = 0;  // that a rank may own
  int slots() const { return depth + extra; }
  int first_slot(int stream) const { return stream * slots(); }
  int taken_slot(int stream, int taken) const { return first_slot(stream) + depth + taken; }
};
// home: what the ranks of the node own where nothing moves. most_lanes, kMeasured: that a rank may
// own; 0: as a node of so many lanes deals them.
MovePlan make_moves(const FoldLayout& layout, const std::vector<RankStores>& home,
                    std::int64_t most_lanes = 0);

// The blocks of each bucket: bucket b has blocks [first[b], last[b]) of FoldLayout::blocks. Throws
// (our bug) if a block crosses a bucket's end.
struct BucketBlocks {
  int first = 0, last = 0;
};
std::vector<BucketBlocks> find_blocks(const FoldLayout& layout);

// Cuts a bucket's blocks into `parts` runs of about equal elements: parts + 1 block indices.
std::vector<int> cut_blocks(const FoldLayout& layout, BucketBlocks blocks, int parts);

// The elements of blocks [first, last) of a bucket, padding behind each block included, so that
// neighbouring runs touch.
Range elements_of(const FoldLayout& layout, int bucket, BucketBlocks blocks, int first, int last);

}  // namespace lockstep::comm
