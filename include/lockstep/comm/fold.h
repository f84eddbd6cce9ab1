// The fold: sums the gradients of all lanes in the one tree, on a node through shared windows and
// between nodes by messages, so that every rank can read the whole sum. Bit-equal for any number of
// ranks, streams, nodes. Knows buckets and blocks of a flat buffer, never a model.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/node_store.h"
#include "lockstep/device/device.h"
#include "lockstep/device/tree_arithmetic.h"

namespace lockstep::comm {

struct Range {
  std::int64_t begin = 0, end = 0;  // elements of the flat buffer
  std::int64_t size() const { return end - begin; }
};

struct FoldArithmetic {
  void (*add)(float* dst, const float* a, const float* b, std::int64_t n) = nullptr;
  double (*sum_of_squares)(const float* x, std::int64_t n) = nullptr;  // of one block
  // To bf16, to nearest even, and back: what a leaf loses with LeafType::kBf16. dst may be x.
  void (*round_to_bf16)(float* dst, const float* x, std::int64_t n) = nullptr;
};

// A lane's gradient may be rounded exactly once, before any addition, whatever the number of lanes
// on the rank; partial sums are fp32 (NUMERICS.md 5). Leaves that travel alone then take half.
enum class LeafType : std::uint8_t { kFp32, kBf16 };

// Who reads the sums.
enum class SumsTo : std::uint8_t {
  kEveryRank,  // replicated parameters
  kOwners,     // Shards over all positions: sharded parameters, stage 1
};
// When leaves leave the rank.
enum class Leaves : std::uint8_t {
  kFolded,  // a rank merges all its lanes first: its lanes are contiguous
  // In rounds: round j takes one lane of each stream of each rank, lanes in order of (position,
  // stream), and the owner of a shard merges them in lane order (NUMERICS.md 3). Needs kOwners.
  // A rank keeps two buckets of each stream and its shard's partial sums: stages 2 and 3.
  kInRounds,
};

// Which rank runs a lane. Sums have the same bits.
enum class Dealing : std::uint8_t {
  kFixed,     // as cut_lanes() says
  kMeasured,  // dealt anew when the ranks' measured speeds have changed: on a node at any step,
              // between nodes by Fold::deal_between_nodes()
  kTaken,     // a stream that has none left takes lanes from others of its node
};
// What has moved so far.
struct LaneMoves {
  std::int64_t run = 0;         // lanes that this rank has run
  std::int64_t taken = 0;       // kTaken: of those, from other streams
  std::int64_t deals = 0;       // kMeasured: how often lanes were dealt anew on this rank's node
  std::int64_t node_deals = 0;  // and between nodes
};
// Dealing between nodes, by position, contiguous in order of positions: each rank's lanes from the
// next step on, and from the next call of Fold::deal_between_nodes() on.
struct LaneCuts {
  std::vector<LaneRange> now, next;
};
// As many lanes as a rank should have room for where others run its node's lanes too: its own, or,
// where lanes are dealt between nodes, its share of the most that its node may get.
std::int64_t lane_places(const Topology& topology, std::int64_t lanes, Dealing dealing);

// Where leaves are written and sums are read: by default the host.
struct FoldDevice {
  Device* device = nullptr;  // one whose streams run late
  TreeArithmetic* arithmetic = nullptr;
};

struct FoldLayout {
  std::int64_t lanes = 1;
  int streams = 1;             // lanes that a rank runs at once (run.threads)
  std::vector<Range> buckets;  // in the order in which backward completes them
  std::vector<Range> blocks;   // all blocks in offset order; buckets end on block ends
  std::int64_t flat_elements = 0;
  std::size_t record_bytes = 0;  // the size of one lane's record, exchanged once a step
  // Buckets of one lane that may be written at the same time before the first of them is pushed:
  // their leaves never overlap. All of them when a lane accumulates over several passes.
  int open_buckets = 2;
  LeafType leaf = LeafType::kFp32;
  SumsTo sums = SumsTo::kEveryRank;
  Leaves leaves = Leaves::kFolded;
  Dealing dealing = Dealing::kFixed;  // others only on the host, with kFolded
  int extra = 0;                      // kTaken: lanes that a stream may take over in a step
};

struct FoldCounters {
  std::int64_t bytes_sent = 0;        // messages between nodes and the small message
  std::int64_t bytes_read_peers = 0;  // read from other ranks' windows on the node
  WaitTimes wait;
  double fold_seconds = 0;  // adding
};

// A step, on each rank:
//   while next(stream) gives a lane: write each bucket into leaf(...), then push(...), buckets in
//   order. When all lanes of all streams are pushed: finish(). Then read block_value() of every
//   block, sum(block) of those that are this rank's to read (FoldLayout::sums); then release().
// On a device whose streams run late all this is given, not done, but for finish(), which returns
// when the sums are there:
//   for each lane: open(stream, work); give the lane's work, with mark(stream, bucket, work) behind
//   that which completes a bucket (or launch the graph that captured both); push() every bucket.
//   Then finish(); give the work that reads sum(block), on the device, to some stream; release(it).
class Fold {
 public:
  virtual ~Fold() = default;
  // The lane that stream runs next in this step; -1: it has run all. Ascending, but for
  // lanes that it takes from others. Streams may call at the same time, each for itself.
  virtual std::int64_t next(int stream) = 0;
  // The lanes that a stream of this rank runs where nothing moves them: its data is read here.
  virtual std::vector<LaneRange> home(int stream) const = 0;
  // Before the first step, on all ranks of a node alike: no lane leaves its home after all.
  virtual void keep_lanes() {}
  // kMeasured: between two steps, on all ranks alike. What the last call announced takes effect,
  // which is collective and makes the fold's plans anew; or another deal between nodes is announced
  // where it is worth it. Null: neither.
  virtual const LaneCuts* deal_between_nodes() { return nullptr; }
  virtual LaneMoves moves() const { return {}; }
  // Where stream writes bucket `b` of `lane`: an address such that element e of the flat buffer
  // (bucket.begin <= e < bucket.end) goes to leaf[e - bucket.begin]. The same until push(); on a
  // late device with kFolded always the same for a stream and bucket, and never waited for; with
  // kInRounds what is given to open()'s stream from now on may write there, so nothing is captured.
  // Holds old values, to be overwritten; what lies between blocks need not be written.
  virtual float* leaf(int stream, std::int64_t lane, int bucket) = 0;
  // On a device whose streams run late, before a lane's work is given: leaves of `stream` may be
  // overwritten by what `work` is given from now on.
  virtual void open(int /*stream*/, Stream& /*work*/) {}
  // The work that completes the leaf of `bucket` has been given to `work`; push() follows. Where
  // `work` captures, it is marked each time that the graph runs.
  virtual void mark(int /*stream*/, int /*bucket*/, Stream& /*work*/) {}
  // The leaf is complete: merges siblings; after the rank's last lane publishes the bucket. On
  // stream 0 it also moves other buckets' folding forward; stream 0 belongs to the thread that made
  // the communicator and alone waits in MPI, the others may run on any one thread each.
  virtual void push(int stream, std::int64_t lane, int bucket) = 0;
  // Moves other buckets' folding forward, as push() does: for the thread of stream 0 while it waits
  // for a device.
  virtual void progress() = 0;
  // Hands over this lane's record (FoldLayout::record_bytes).
  virtual void set_record(std::int64_t lane, const void* record) = 0;
  // Returns when the whole sum can be read and all lanes' records are here.
  virtual void finish(std::int64_t step) = 0;
  virtual const void* record(std::int64_t lane) const = 0;  // of any lane, after finish()
  // The folded block's address (in some rank's window, or on a rank's device, which this rank's
  // device can read) and its sum of squares, after finish(). With SumsTo::kOwners sum() is for the
  // block's owner; block_value() is everybody's.
  virtual const float* sum(int block) const = 0;
  virtual double block_value(int block) const = 0;
  // This rank has read all that it needs; its peers may overwrite theirs when all have said so.
  virtual void release() = 0;
  // The same when all that `work` has been given so far is done: for late devices. Returns at once;
  // the next push() or progress() says so to the peers. Let `work` be done before the fold goes.
  virtual void release(Stream& /*work*/) { release(); }

  virtual const FoldCounters& counters() const = 0;
  virtual std::size_t window_bytes() const = 0;  // of this rank, for the ledger
  virtual std::size_t private_bytes() const = 0;
  virtual std::size_t device_bytes() const { return 0; }
  // How sums travel, for the start report: "peers by CUDA IPC", "pinned staging".
  virtual std::string path() const = 0;
};

enum class ReduceKind { kFold, kMpi };  // kMpi: MPI_Iallreduce per bucket, outside the contract

// What make_fold will need, before it is made: the same figures as window_bytes/private_bytes, and
// device_bytes where the path is the expected one: peers on a node, staging between nodes.
struct FoldBytes {
  std::size_t window = 0, private_memory = 0, device = 0;
};
FoldBytes fold_bytes(const Topology& topology, const FoldLayout& layout, ReduceKind kind,
                     bool on_device = false);

// Collective. If /dev/shm is too small for the windows, or devices of a node cannot reach each
// other's memory, all ranks of that node take the between-node path (each rank a node of its own)
// and a warning says so, with the remedy. Throws UserError for kMpi on a device. `device` and its
// arithmetic outlive the fold.
std::unique_ptr<Fold> make_fold(Communicator& communicator, const FoldLayout& layout,
                                const FoldArithmetic& arithmetic, ReduceKind kind,
                                const FoldDevice& device = {});

}  // namespace lockstep::comm
