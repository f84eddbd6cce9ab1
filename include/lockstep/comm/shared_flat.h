// The parameters of a sharded run: a flat buffer in memory that the ranks of a node share, of which
// each block is written by its owner alone. Brings the blocks of other nodes by messages: all of
// them once a step, or those of a layer for as long as it is used. Knows no model and no optimizer.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/fold.h"
#include "lockstep/comm/shards.h"

namespace lockstep::comm {

// What a pass reads at a time: ranges of the flat buffer (whole parameters, ascending, disjoint).
struct FlatUse {
  std::vector<Range> ranges;
};

enum class FlatExtent {
  kWhole,   // stages 1 and 2: each node holds all parameters
  kShards,  // stage 3: each node holds the shards of its own ranks, and layers while they are used
};

struct FlatLayout {
  FoldLayout fold;  // flat_elements, buckets, blocks
  FlatExtent extent = FlatExtent::kWhole;
  std::vector<FlatUse> uses;  // kShards: of one training pass, in order
};

struct FlatCounters {
  std::int64_t bytes_sent = 0;  // messages between nodes
  WaitTimes wait;
};

// A step, on each rank, after the fold has finished, so that no rank of any node reads parameters
// any more, but each those that it owns: write the blocks that this rank owns; publish() every
// bucket, in order; await() every bucket, in order, each after it was published. The first
// parameters of a run come the same way. Then passes, for FlatExtent::kShards: begin_pass(); for
// each use in order: hold(), read, release(). All ranks of all nodes go through the same passes,
// one after the other, whether they have a lane or not; nobody writes parameters meanwhile. All
// calls are for the thread that made the communicator. It goes, on all ranks, between passes.
class SharedFlat {
 public:
  virtual ~SharedFlat() = default;
  // Element e lies at flat()[e], in kShards for the blocks whose owner is of this node (is this
  // rank, where its node was split). The memory of other elements must not be touched and costs
  // nothing. Page-aligned, zeroed.
  virtual float* flat() const = 0;
  // What a device may copy from and to: all pages that hold elements of flat(), or of a gathered
  // use, on this node. Each whole, none twice; neighbours are joined.
  virtual std::vector<std::span<std::byte>> pages() const = 0;
  virtual const Shards& shards() const = 0;  // over all positions
  // This rank's shard of the bucket is written. Never waits.
  virtual void publish(int bucket, std::int64_t step) = 0;
  // Returns when the bucket is as its owners have published it last: in kShards, the shards of this
  // node's ranks.
  virtual void await(int bucket, std::int64_t step) = 0;

  // kShards. A pass of the first `uses` uses.
  virtual void begin_pass(int uses) = 0;
  // Returns when the ranges of the use are here, and starts to bring those of the next one. Each
  // range's address, 64-byte aligned, goes to out[i]: into flat(), where all of it lies there, or
  // into memory that is this use's until all ranks of the node have released it. What lies between
  // ranges there may hold anything.
  virtual void hold(int use, const float** out) = 0;
  virtual void release(int use) = 0;

  // Moves messages forward, as all calls above do: for a rank that computes for long between them.
  virtual void progress() {}

  virtual const FlatCounters& counters() const = 0;
  virtual std::size_t resident_bytes() const = 0;  // this rank's share of flat(), in whole pages
  virtual std::size_t gathered_bytes() const = 0;  // kShards: this rank's share of what uses hold
};

// Bytes of the two figures above before it is made.
struct FlatBytes {
  std::size_t resident = 0, gathered = 0;
};
FlatBytes flat_bytes(const Topology& topology, const FlatLayout& layout);

// Collective. Where /dev/shm is too small each rank of that node becomes a node of its own, with a
// warning that names the remedy, as in make_fold().
std::unique_ptr<SharedFlat> make_shared_flat(Communicator& communicator, const FlatLayout& layout);

}  // namespace lockstep::comm
