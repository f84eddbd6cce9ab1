// Who adds and sends how much of each bucket: the fold's parts and shards in numbers, as comm's
// plans cut them. Parts of a bucket are taken to be equal, and so are shards. Knows no time.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/node_store.h"
#include "lockstep/plan/job.h"

namespace lockstep::plan {

struct LanesPlan {
  // played: of the layout's nodes, the first so many stand for all.
  LanesPlan(const Job& job, const Layout& layout, std::int64_t played_ranks);

  std::int64_t locals(std::int64_t node) const;
  std::int64_t ticks() const { return turns * buckets; }
  std::int64_t bucket_of(std::int64_t tick) const { return tick % buckets; }
  std::int64_t turn_of(std::int64_t tick) const { return tick / buckets; }

  // What a rank of `node` does with its part of a tick, in bytes: additions of two, by the bytes of
  // one; what it reads of its peers; what leaves it for owners on other nodes.
  struct Part {
    double size = 0, added = 0, read = 0, messages = 0, bytes = 0;
  };
  Part part(std::int64_t node, std::int64_t tick) const;
  // What the owner of a shard does with it: nothing if it owns nothing of the bucket.
  struct Shard {
    double size = 0, added = 0, messages_in = 0, bytes_in = 0, messages_out = 0, bytes_out = 0;
  };
  bool owns(std::int64_t rank, std::int64_t tick) const;
  Shard shard(std::int64_t tick) const;
  // The parts of a node with `locals` ranks that a rank's shard lies in, [first, last].
  struct Span {
    std::int64_t first = 0, last = -1;
  };
  Span parts_of(std::int64_t rank, std::int64_t tick, std::int64_t locals) const;
  // What comes back to a rank of `node`.
  struct Return {
    double messages = 0, bytes = 0;
  };
  Return returned(std::int64_t node, std::int64_t tick) const;

  std::int64_t stream_lanes(std::int64_t rank) const;  // of its busiest stream, in a step
  double merged_lanes(std::int64_t rank) const;        // leaves that it adds before the fold

  Layout layout;
  std::int64_t ranks = 1, nodes = 1;  // played
  bool several = false;               // nodes, in the layout
  bool rounds = false;                // sharded, stages 2 and 3
  bool comes_back = true;             // to every rank; else sums stay with their owners
  std::int64_t turns = 1, buckets = 0, streams = 1, together = 1, lanes = 1;
  std::vector<double> bucket_bytes;

 private:
  struct NodeRows {
    double sources = 0, own = 0;  // partial sums on the node; of one rank, in the mean
    double rows = 0, bytes = 0;   // that leave it, and their bytes for each element
  };
  NodeRows rows_of(const std::vector<comm::LaneRange>& by_rank) const;
  std::vector<comm::LaneRange> lanes_in(std::int64_t turn, std::int64_t node) const;
  std::int64_t owners(std::int64_t bucket) const;
  bool leaf_is_narrow_ = false;
  std::vector<comm::LaneRange> cut_;              // by rank
  std::vector<std::vector<NodeRows>> node_rows_;  // by turn, node
  std::vector<double> all_rows_, all_bytes_;      // by turn, of all nodes of the layout
};

}  // namespace lockstep::plan
