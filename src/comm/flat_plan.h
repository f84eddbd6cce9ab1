// Which elements of a SharedFlat this rank sends, receives and copies, for each bucket and each
// use, and where they come to lie. A function of topology and layout alone, so that sender and
// receiver plan the same messages in the same order. Knows neither memory nor MPI.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/shared_flat.h"

namespace lockstep::comm {

// Consecutive elements between this rank and the rank at position `peer`.
struct FlatMove {
  Range range;
  int peer = 0;
  std::int64_t at = 0;  // of a use: where they lie in the gathering place
};

struct FlatPlan {
  FlatPlan(const Topology& topology, const FlatLayout& layout);

  struct Bucket {
    std::vector<FlatMove> sends, receives;
  };
  struct Use {
    std::vector<std::int64_t> at;  // by range: where it lies in the gathering place; -1: in flat()
    std::vector<FlatMove> sends, receives, copies;
    bool gathered() const { return elements > 0; }
    std::int64_t elements = 0;  // of the gathering place
  };

  // Owner's elements go once to each other node, to this position there.
  int receiver(int node, int owner) const;
  int locals() const { return topology.local_ranks(); }
  std::size_t flat_bytes() const;  // whole pages, like the next
  std::size_t place_bytes() const;
  std::size_t resident_bytes() const;
  std::size_t gathered_bytes() const;

  Topology topology;
  std::int64_t flat_elements;
  bool whole;  // FlatExtent::kWhole
  Shards shards;
  std::vector<Bucket> buckets;
  std::vector<Use> uses;
  std::vector<Range> held;          // elements of flat() that this rank brings to its node
  std::vector<Range> held_on_node;  // that are its node's ranks' own
  std::int64_t place_elements = 0;  // of the largest use

 private:
  struct Run {  // elements of one owner, up to the next run
    Range range;
    int owner = 0, bucket = 0;
  };
  struct Gathering {  // of one use on one node
    std::vector<std::int64_t> at;
    std::vector<FlatMove> pieces;  // peer: the owner
    std::int64_t elements = 0;
  };
  std::vector<Run> find_runs(const FoldLayout& layout) const;
  Gathering gather(const std::vector<Run>& runs, const FlatUse& use, int node) const;
  void plan_bucket(const Run& run);
  void plan_use(const std::vector<Run>& runs, const FlatUse& use);
};

}  // namespace lockstep::comm
