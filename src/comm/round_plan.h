// Lanes in rounds: which lanes each round has and where, what is added when, and where it all lies.
// A function of topology and layout alone, so that every rank can plan for its peers. A tick is one
// bucket of one round; ticks of a step are numbered in order. Knows neither memory nor messages.
#pragma once
#include <cstdint>
#include <vector>

#include "fold_memory.h"

namespace lockstep::comm {

// Byte offsets in a rank's window.
struct RoundWindow {
  std::size_t pushed = 0;    // Flag per stream: ticks whose leaf is there
  std::size_t folded = 0;    // Flag: ticks whose leaves this rank has read
  std::size_t taken = 0;     // Flag: ticks whose outboxes this rank has read
  std::size_t released = 0;  // Flag: steps whose values this rank has read
  std::size_t recorded = 0;  // Flag: steps whose records are there
  std::size_t records = 0;   // one node: two sets, for odd and even steps
  std::size_t record_set = 0;
  std::size_t values = 0;  // one node: a double for each block that this rank owns
  std::size_t leaves = 0;  // by stream with lanes, a ring of buckets
  std::size_t outbox = 0;  // several nodes: for even and odd ticks, folded to canonical nodes
  std::size_t bytes = 0;
};

// How an owner comes to one canonical node of a round's lanes: from sources that follow each other,
// and where it goes then.
struct Take {
  int first_source = 0;
  TileProgram program;  // one out
  Arrival arrival;      // in the owner's store
};

struct Round {
  LaneRange lanes;
  std::vector<PieceRows> rows;              // by node: what leaves it
  std::vector<std::int64_t> halves_before;  // by node: PieceRows::halves of other nodes before it
  int shape = 0;                            // rounds of one shape have the same messages
  TileProgram local_program;  // several nodes: this node's leaves -> its canonical nodes
  int sources = 0;            // of all takes: leaves on one node, else the nodes' rows in order
  std::vector<Take> takes;
  int scratch = 0;  // tiles that the takes need
};

struct RoundPlan {
  RoundPlan(const Topology& topology, const FoldLayout& layout);

  bool several_nodes() const { return topology.nodes() > 1; }
  int buckets() const { return static_cast<int>(layout.buckets.size()); }
  int ticks() const { return static_cast<int>(rounds.size()) * buckets(); }
  int round_of(int tick) const { return tick / buckets(); }
  int bucket_of(int tick) const { return tick % buckets(); }
  // A lane's round and, in it, the position and stream that run it.
  int round_of_lane(std::int64_t lane) const { return static_cast<int>(lane / workers); }
  int position_of(std::int64_t lane) const {
    return static_cast<int>(lane % workers / layout.streams);
  }
  int stream_of(std::int64_t lane) const { return static_cast<int>(lane % layout.streams); }
  // The lanes of round j of positions [first, last); stream s of a position runs its s-th.
  LaneRange lanes_of(int j, int first, int last) const;
  int streams_of(int position) const;  // that ever have a lane
  std::int64_t lanes_on(int position) const;
  // Of all lanes' records by position, then lane.
  std::int64_t record_place(std::int64_t lane) const;

  const std::vector<int>& parts(int node, int b) const { return parts_[node][b]; }
  Range part(int node, int b, int local) const;
  // In the outbox of a local rank, from its tick's begin: its piece of a shard.
  std::int64_t outbox_place(int tick, int local, const Range& piece) const;

  Topology topology;
  FoldLayout layout;
  std::int64_t workers;
  int ring = 0;  // leaves of a stream that may be unread
  Shards shards;
  OwnedValues values;
  std::vector<BucketBlocks> blocks;  // by bucket
  std::vector<int> bucket_with;      // by block
  std::vector<Round> rounds;
  int shapes = 0;
  int slots = 0, sum_slot = 0;            // of the owner's store
  std::vector<std::int64_t> shard_begin;  // by bucket: in a slot
  std::int64_t slot_floats = 0;
  std::int64_t leaf_floats = 0;             // room for the largest bucket
  std::int64_t inbox_floats = 0;            // of one tick, the largest
  std::vector<std::int64_t> outbox_floats;  // by local rank, of one tick, the largest
  std::int64_t tile_floats = 0;
  int tiles = 0;
  std::vector<LaneRange> record_ranges;  // by position
  std::vector<RoundWindow> windows;      // by local rank

  std::size_t store_bytes() const { return bytes_of(slots * slot_floats); }
  std::size_t tile_bytes() const { return bytes_of(tiles * tile_floats); }
  std::size_t inbox_bytes() const { return bytes_of(2 * inbox_floats); }
  std::size_t private_bytes() const;

 private:
  static std::size_t bytes_of(std::int64_t floats) {
    return static_cast<std::size_t>(floats) * sizeof(float);
  }
  void plan_rounds();
  void plan_takes();
  void plan_memory();
  RoundWindow window_of(int local) const;
  std::vector<std::vector<std::vector<int>>> parts_;  // node, bucket
};

}  // namespace lockstep::comm
