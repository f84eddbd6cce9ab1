// Hands each lane the samples of its microbatch. Which samples is a function of (seed, epoch, lane)
// alone (NUMERICS.md 15, 16). One prefetch thread per rank decodes windows ahead of the lanes into
// the node's shared memory; the caller gathers and converts rows.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/node_store.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

enum class Shuffle : std::uint8_t {
  kNone,    // the order of the files
  kWindow,  // NUMERICS.md 15
  kFull     // all samples permuted: the dataset lies in the memory of all ranks together
};

std::string_view name_of(Shuffle shuffle);  // "window", as a run file says

enum class Cache : std::uint8_t { kNone, kMemory, kNode };
struct CacheOptions {
  Cache kind = Cache::kNone;
  std::string folder;      // kNode; "": $SLURM_TMPDIR, else $TMPDIR, else /tmp
  std::int64_t bytes = 0;  // of a node; 0: half of what is free at start
};

enum class OnError : std::uint8_t {
  kStop,
  kSkip  // a sample that cannot be trusted gives way to the next one that can; counted
};

struct LoaderOptions {
  std::string split = "train";
  std::string input, target;  // field names
  Normalise normalise = Normalise::kStandard;
  bool input_is_tokens = false;  // int32 token numbers, else floats; never normalised
  std::int64_t vocabulary = 0;   // tokens must lie in [0, vocabulary); DataError names the row
  bool target_is_class = true;   // int32 labels, one for each element of a target; else floats
  std::int64_t labels = 1;       // of a target of classes that is no text: one, or one a pixel
  std::int64_t classes = 0;  // labels must lie in [0, classes); DataError names file, dataset, row
  std::uint64_t seed = 1;
  Shuffle shuffle = Shuffle::kWindow;
  std::int64_t batch = 0, lanes = 1, microbatch = 0,
               accumulate = 1;  // batch = lanes*accumulate*microbatch
  std::int64_t window = 0;      // samples; 0: default_window()
  bool check_finite = true;     // NaN or infinity in an input: DataError naming file, dataset, row
  OnError on_error = OnError::kStop;
  double max_skipped = 0.01;  // of the split's samples; more that cannot be trusted: DataError
  CacheOptions cache;
  int threads = 0;  // that decode; 0: the cores that this rank has to spare, at least one, at most 8
  int computing = 1;  // threads of this rank that compute: they take their cores
};

// Where training stands. Stored in checkpoints; independent of ranks.
struct Position {
  std::int64_t epoch = 0;
  std::int64_t step = 0;  // within the epoch
  bool operator==(const Position&) const = default;
};

struct LoaderTimes {
  double wait = 0;              // the caller waited for a window
  double gather = 0;            // the caller gathered and converted
  std::int64_t samples = 0;     // handed out by this rank
  std::int64_t bytes_read = 0;  // from files, by this rank's threads
  std::int64_t bytes_sent = 0;  // samples, to other nodes
  std::int64_t bytes_cached = 0;  // from the cache, likewise
  std::int64_t skipped = 0;     // samples that OnError::kSkip replaced, as often as they were read
};

// Training order: shuffled windows, endless; the dropped tail differs from epoch to epoch.
class Loader {
 public:
  virtual ~Loader() = default;
  virtual std::int64_t steps_per_epoch() const = 0;  // floor(N / batch), >= 1
  virtual std::int64_t window() const = 0;           // samples, as chosen
  // Starts prefetching for these lanes of this rank from `at`. Collective once, at start. move: the
  // ranks of a node will fill each other's lanes too, each lane in order and by one at a time.
  // places: lanes for which this rank has room, where there are to be more.
  virtual void start(std::span<const comm::LaneRange> lanes_of_streams, Position at,
                     bool move = false, std::int64_t places = 0) = 0;
  // Whether they may, after start(move): /dev/shm may be too small for windows that all can read.
  // The same on all ranks of a node.
  virtual bool lanes_move() const = 0;
  // Whether that holds on all nodes, of which there are several: then lanes may leave their node.
  virtual bool lanes_leave() const = 0;
  // Whether this step's first samples are of another window than those of the step before. Of all
  // lanes at once: their windows are equally long.
  virtual bool window_begins(Position at) const = 0;
  // Before a step with which a window begins, on all ranks alike: by position, the lanes from this
  // step on, and from the next such step on, whose windows are decoded from now on. Collective.
  virtual void deal(std::span<const comm::LaneRange> now, std::span<const comm::LaneRange> next,
                    Position at) = 0;
  // At the beginning of each step, on all ranks alike, before any fill() of it and when nobody reads
  // samples of earlier steps any more: with Shuffle::kFull on several nodes posts the messages of
  // steps to come and completes those of this one. Does nothing otherwise.
  virtual void advance(Position at) = 0;
  // Fills input [microbatch, sample...], float or int32 tokens, and the target (labels or values;
  // the other pointer may be null) of one accumulation `micro` of a lane. Called by one thread per
  // lane at a time; (at, micro) ascend, and may skip forward. Waits for the prefetch thread and
  // throws its DataError. Other ranks' lanes, and windows that have been left behind, are read on
  // the caller's thread: for work that has moved between ranks.
  virtual void fill(std::int64_t lane, Position at, std::int64_t micro, void* input,
                    std::int32_t* labels, float* targets) = 0;
  virtual const LoaderTimes& times() const = 0;  // as of now, until the next call
  // Of this rank; before start(): as cut_lanes() deals, with room for so many lanes at least.
  virtual std::size_t window_bytes(std::int64_t places = 0) const = 0;
  // Of this rank, with Shuffle::kFull: its share of the dataset, and samples that it sends.
  virtual std::size_t held_bytes() const = 0;
  virtual std::size_t exchange_bytes() const = 0;
  // Of the cache: memory of this rank and, for the ledger, what it is of; "" without one.
  virtual std::size_t cache_bytes() const = 0;
  virtual std::string cache_text() const = 0;
};
std::unique_ptr<Loader> make_loader(comm::Communicator& communicator, const Manifest& manifest,
                                    const LoaderOptions& options);

// Rows per chunk that an epoch is shuffled by: the chunk rows of the larger field; for a contiguous
// field as many as fit 256 KiB. Never fewer than 1.
std::int64_t order_chunk(const Field& input, const Field& target);

// As many samples as fit 16 MiB, at most 8192, at least one microbatch. A rank holds two windows
// for each of its lanes.
std::int64_t default_window(const Field& input, const Field& target, std::int64_t microbatch);

// The order itself, as plain data: row numbers in the split that lane takes at epoch, in order.
// Pure function of its arguments; options.window > 0 (Loader::window()), chunk as order_chunk().
std::vector<std::int64_t> lane_order(std::int64_t samples, std::int64_t chunk,
                                     const LoaderOptions& options, std::int64_t epoch,
                                     std::int64_t lane);

// Evaluation order: rows [first, first + count) of the split, converted the same way. Any rank may
// read any rows, several threads may call. Keeps the last decoded chunk, so that reading in order
// decodes each chunk once. Needs options.split, input, target, normalise, classes, checks.
class RowReader {
 public:
  virtual ~RowReader() = default;
  virtual std::int64_t samples() const = 0;
  virtual void read(std::int64_t first, std::int64_t count, void* input, std::int32_t* labels,
                    float* targets) = 0;
};
std::unique_ptr<RowReader> make_row_reader(const Manifest& manifest, const LoaderOptions& options);

}  // namespace lockstep::data
