// The one binary tree over lanes. A node (level k, index i) stands for lanes [i*2^k, (i+1)*2^k);
// the only legal addition is node(k, 2i) + node(k, 2i+1) = node(k+1, i) (NUMERICS.md 1 to 4).
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace lockstep::comm {

struct Node {
  int level = 0;
  std::int64_t index = 0;
  bool operator==(const Node&) const = default;
  std::int64_t begin() const { return index << level; }
  std::int64_t end(std::int64_t lanes) const;  // absent lanes are not counted
};

struct LaneRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
  bool operator==(const LaneRange&) const = default;
};

// A node whose right child has no lanes is its left child: the highest name of the same sum.
Node highest_name(Node node, std::int64_t lanes);
inline Node parent(const Node& node) { return {node.level + 1, node.index / 2}; }
inline Node sibling(const Node& node) { return {node.level, node.index ^ 1}; }

// The canonical nodes of lanes [begin, end) out of `lanes`, in lane order; and the first of them.
std::vector<Node> canonical_nodes(LaneRange range, std::int64_t lanes);
Node first_canonical(LaneRange range, std::int64_t lanes);  // begin < end
// As many canonical nodes as `size` consecutive lanes can have, wherever they begin.
int most_canonical(std::int64_t size);

// Which contiguous lanes go to which position: smallest maximum load, then fewest canonical nodes
// in all (dynamic program). Throws UserError with the remedy if parts > lanes.
std::vector<LaneRange> cut_lanes(std::int64_t lanes, int parts);
// The same for lanes [begin, end) out of `lanes` (a rank's lanes over its streams); parts <= size.
std::vector<LaneRange> cut_lanes(LaneRange range, int parts, std::int64_t lanes);

// A schedule of merges for leaves or nodes that arrive in a fixed order. Slots are numbered places
// for partial sums; every step says: place the arriving node in a slot, then merge pairs of slots.
struct Merge {
  // slot[into] += slot[from]; `into` is the left sibling. from == -1: the arriving node is added to
  // the sibling that waits in `into`, whichever side it is (addition commutes, bit for bit).
  int into = 0, from = 0;
};
struct Arrival {
  Node node;
  int slot = -1;              // where the arriving node is placed (moved, never added to zero)
  std::vector<Merge> merges;  // then these, in order
};
struct FoldSchedule {
  std::vector<Arrival> arrivals;
  int slots = 0;                                // peak number of live partials
  std::vector<std::pair<Node, int>> remaining;  // what is left at the end, in lane order, and where
};
// Arrivals in the given order. If merge_arrival_directly, an arriving node whose sibling waits is
// added from where it arrived, and needs no slot (Arrival::slot == -1, first merge has from == -1).
// Nodes in `remaining` bear their highest name: one whose right child has no lanes is its parent.
FoldSchedule make_schedule(const std::vector<Node>& arrivals, std::int64_t lanes,
                           bool merge_arrival_directly);

}  // namespace lockstep::comm
