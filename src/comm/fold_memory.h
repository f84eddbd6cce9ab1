// Where everything lies: the window of any rank of the node, and how much private memory goes with
// it. One place computes both, so that the ledger's figures are those of the construction.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "fold_plan.h"
#include "lane_dealer.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/comm/fold.h"
#include "owned_values.h"
#include "pages.h"
#include "piece_rows.h"

namespace lockstep::comm {

// A monotone count of steps on its own cache line.
struct alignas(64) Flag {
  std::atomic<std::int64_t> step;
};

// Where lanes move: which lanes of a stream nobody has claimed, on a cache line of its own.
struct alignas(64) ClaimWord {
  std::atomic<std::uint64_t> word;
};
// How long a lane of a step has run, and on which rank.
struct LaneTime {
  std::int64_t nanoseconds = 0, position = 0;
};
// Of a lane, with its home rank.
struct LaneState {
  std::atomic<std::uint64_t> taken;  // the step, and where the leaf of a lane lies that was taken
  LaneTime time[2];                  // for odd and even steps
};

// Where the sums are made. kHost: all in the windows. kDevice: slots, outbox and results lie on the
// devices, and messages, if any, start there. kStaged: slots lie on the devices; outbox and results
// are in the windows, for messages of the host.
enum class SumsIn { kHost, kDevice, kStaged };

// Byte offsets in a rank's window.
struct WindowLayout {
  std::size_t ready =
      0;  // Flag per bucket: this rank's lanes are all pushed; where lanes move, how many
  std::size_t folded = 0;    // Flag per bucket: this rank's part is folded over the node
  std::size_t summed = 0;    // Flag per bucket: this rank's shard is summed
  std::size_t done = 0;      // Flag per bucket: all that this rank contributes to the sum is there
  std::size_t released = 0;  // Flag: this rank has read the sum
  std::size_t recorded = 0;  // Flag: the records of this rank's lanes are there
  std::size_t closed = 0;    // Flag: this rank has let go of its peers' device memory
  std::size_t claims = 0;    // ClaimWord per stream
  std::size_t lanes = 0;     // LaneState per lane
  std::size_t records = 0;   // two sets of lanes * record_bytes, for odd and even steps
  std::size_t record_set = 0;
  std::size_t block_values = 0;  // double per block
  std::size_t slots = 0;         // slot i: flat_elements floats from slots + i * slot_bytes
  std::size_t slot_bytes = 0;
  std::size_t results = 0;  // kStaged: like one slot
  std::size_t outbox = 0;   // several nodes: this part folded to the node's canonical nodes
  std::size_t bytes = 0;
};

// The same on a rank's device; peers may read it.
struct DeviceLayout {
  std::size_t slot_bytes = 0;  // slot i from i * slot_bytes
  std::size_t outbox = 0;
  std::size_t bytes = 0;
};

// All that is planned for one rank's node.
struct FoldPlan {
  // cut: the lanes by position where they are dealt between nodes; empty: as cut_lanes() says.
  // Memory is planned for any such cut, in the same places.
  FoldPlan(const Topology& topology, const FoldLayout& layout, SumsIn where = SumsIn::kHost,
           const std::vector<LaneRange>& cut = {});

  bool several_nodes() const { return topology.nodes() > 1; }
  int buckets() const { return static_cast<int>(layout.buckets.size()); }
  // Block indices at which bucket b is cut into the parts of a node, and into the owners' shards.
  const std::vector<int>& parts(int node, int b) const { return parts_[node][b]; }
  const std::vector<int>& shards(int b) const { return shards_[b]; }
  Range part(int node, int b, int local) const;
  Range shard(int b, int position) const;
  // The nodes of the tree that leave a node.
  const PieceRows& rows(int node) const { return rows_[node]; }
  int canonical(int node) const { return rows_[node].size(); }
  // Lanes of this rank's node move between its streams.
  bool moving() const { return moves.depth > 0; }
  bool deals_between_nodes() const { return !limits.node.empty(); }
  // Of a lane's record in the small message: its time travels with it where all ranks deal by it.
  std::size_t time_at() const { return round_up(layout.record_bytes, alignof(LaneTime)); }
  std::size_t record_stride() const {
    return deals_between_nodes() ? time_at() + sizeof(LaneTime) : layout.record_bytes;
  }
  LaneRange node_lanes() const { return {stores.front().lanes.begin, stores.back().lanes.end}; }
  std::int64_t largest_bucket() const;
  int scratch_buckets() const;
  bool on_device() const { return where != SumsIn::kHost; }
  // Sums go back from their owners to all nodes. A device's always do, whoever reads them.
  bool returns() const { return layout.sums == SumsTo::kEveryRank || on_device(); }
  // Only owners have the sums, and what everybody needs of them are the blocks' values.
  bool values_travel() const { return several_nodes() && !returns(); }

  Topology topology;
  FoldLayout layout;
  std::vector<LaneRange> lanes;      // by position
  std::vector<BucketBlocks> blocks;  // by bucket
  std::vector<RankStores> stores;    // by local rank
  DealLimits limits;                 // none: lanes stay on their nodes
  MovePlan moves;
  std::vector<WindowLayout> windows;  // by local rank
  std::vector<DeviceLayout> devices;  // by local rank
  SumsIn where;
  std::vector<Node> local_nodes;  // sources of the next two, in lane order
  std::vector<Node> owner_nodes;
  TileProgram local_program;  // all stores' remaining nodes -> the node's canonical nodes
  TileProgram owner_program;  // all nodes' canonical nodes -> the sum
  OwnedValues values;         // where they travel
  std::int64_t inbox_floats = 0;
  std::size_t tile_bytes = 0, scratch_bytes = 0, record_bytes = 0, value_bytes = 0;  // private
  std::size_t private_bytes() const;
  std::size_t device_bytes() const;  // of this rank

 private:
  void plan_moves();
  void plan_tiles();
  std::int64_t rows_floats(int node, std::int64_t n) const;  // of n elements, at most
  std::int64_t most_lanes(int local) const;
  WindowLayout window_of(int local) const;
  DeviceLayout device_of(int local) const;
  std::size_t outbox_of(int local) const;
  std::vector<std::vector<std::vector<int>>> parts_;  // node, bucket
  std::vector<std::vector<int>> shards_;              // bucket
  std::vector<PieceRows> rows_;                       // node
  std::vector<int> most_rows_;                        // node; of any cut
};

Range overlap(const Range& a, const Range& b);

}  // namespace lockstep::comm
