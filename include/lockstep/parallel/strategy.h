// A strategy: how gradients become new parameters. It owns the parameters and the optimizer's
// state, and decides which lanes this rank runs and when; data and model code never know which
// strategy is at work.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/fold.h"
#include "lockstep/core/block_runs.h"
#include "lockstep/nn/program.h"
#include "lockstep/ops/loss.h"
#include "lockstep/optim/optimizer.h"

namespace lockstep::parallel {

// One lane's contribution to a step, the small message's content. The requests are those of the
// lane's rank; they make all ranks act on the same step.
struct StepRecord {
  ops::LaneRecord lane;
  std::int64_t stop_requests = 0, save_requests = 0;
};

struct StepOutcome {
  StepRecord total;          // folded over lanes in tree order
  double gradient_norm = 0;  // of the mean gradient, before clipping
  double learning_rate = 0;
  // The first lane whose loss or metrics are not finite, and the first parameter whose gradient is
  // not; -1: none.
  std::int32_t bad_lane = -1, bad_parameter = -1;
  bool applied = true;  // false: the update was left out
  bool finite() const { return bad_lane < 0 && bad_parameter < 0; }
};
// "the loss of lane 3 is not finite", "the gradient of 'layer1.weight' is not finite".
std::string what_is_not_finite(const ParameterTable& table, const StepOutcome& outcome);

// Says of each step whether its update may be applied.
class StepGuard {
 public:
  virtual ~StepGuard() = default;
  // Called on all ranks with the same numbers, before anything of the step is applied. False: its
  // update is left out on all ranks. Throws DataError, on all ranks alike, to end the run.
  // Allocates nothing where it accepts.
  virtual bool accept(std::int64_t step, const StepOutcome& outcome) = 0;
};

// Adds leaves in the one tree over lanes, in place; leaves[i] belongs to lane i.
StepRecord fold_in_tree(std::span<StepRecord> leaves);

// What this rank asks of all ranks.
struct Requests {
  bool stop = false, save = false;
};

// One accumulation `micro` of a lane of a step, on a stream.
struct LanePass {
  int stream = 0;
  std::int64_t step = 0, lane = 0, micro = 0;
  nn::GradientSink* sink = nullptr;
  ops::LaneRecord* record = nullptr;  // is added to; complete when wait(stream) has returned
};

// Data and program, as a strategy sees them.
class LaneRunner {
 public:
  virtual ~LaneRunner() = default;
  // Runs work(stream) for every stream, each on a thread of its own (stream 0: the caller's).
  virtual void on_streams(const std::function<void(int stream)>& work) = 0;
  // Reads the samples, runs forward and backward. Called on the stream's thread.
  virtual void run(const LanePass& pass) = 0;
  // Several streams' passes by the calling thread, layer by layer in turn.
  virtual void run_together(std::span<const LanePass> passes) = 0;
  virtual Requests requests() = 0;
};

// A tensor of a run's state with the layout of the flat buffer.
struct StateTensor {
  std::string name;       // "parameters", "optimizer/m", ...
  float* data = nullptr;  // on the device; element e lies at data[e], if this position holds it
  // By block of the table: the position that holds it; null: every position holds all.
  const std::vector<int>* holders = nullptr;
  bool on_host = false;  // data is in the host's memory, whatever the device
  // Null, or the runs that this position holds: their elements lie where these say.
  const std::vector<BlockRun>* runs = nullptr;
};

class Strategy {
 public:
  virtual ~Strategy() = default;

  // The lanes whose samples this rank's loader reads, by stream.
  virtual std::vector<std::vector<comm::LaneRange>> home() const = 0;
  // Whether ranks of a node run each other's lanes too, each lane in order. keep_lanes(), before
  // the first step and on all ranks of a node alike: they must not.
  virtual bool moves_lanes() const { return false; }
  virtual void keep_lanes() {}
  // Before a step with which a window of the data begins, on all ranks alike: whole nodes' lanes,
  // as comm::Fold::deal_between_nodes() says.
  virtual const comm::LaneCuts* deal_between_nodes() { return nullptr; }
  // How many steps from `step` on, at most `most`, pass before all ranks hold the same numbers
  // again. Evaluations, checkpoints and stops happen there. More than `most`, but never past
  // the run's last step, where the numbers depend on when that is.
  virtual std::int64_t stretch(std::int64_t /*step*/, std::int64_t /*most*/) const { return 1; }
  // Whether it makes no difference to the numbers where a stretch ends: then none goes past a step
  // after which something is due.
  virtual bool ends_anywhere() const { return false; }
  // From now on the guard, which outlives the strategy, is asked about every step. False: not by
  // this strategy, whose ranks do not all see a step's sums before anything is applied.
  virtual bool ask(StepGuard& /*guard*/) { return false; }
  // Collective. Runs steps [step, step + outcomes.size()), a stretch; returns how many were run:
  // fewer only if a rank asked to stop or to save. Throws DataError, on all ranks alike, naming
  // what is not finite (lane or parameter), with nothing of that step applied, unless a guard says
  // otherwise.
  virtual std::int64_t run(std::int64_t step, LaneRunner& runner,
                           std::span<StepOutcome> outcomes) = 0;

  // What the state consists of, the same list on every position. Work that changes it is given to
  // the program's stream 0.
  virtual std::vector<StateTensor> state() = 0;
  // What several positions hold copies of, with the layout of the flat buffer, the same list on
  // every position; data is null where this one has none of its own. Equal after every stretch.
  virtual std::vector<StateTensor> copies();
  // The blocks that this position holds have been written from outside: first values, a checkpoint.
  // Brings parameters to where they are read. Collective.
  virtual void restored() = 0;

  // Evaluation: the positions that take part, none named: all; and whether each of them must go
  // through every pass of the others, with samples or without, because parameters travel during it.
  virtual std::vector<int> evaluators() const { return {}; }
  virtual bool passes_together() const { return false; }
  // A pass of evaluation that this rank has no samples for.
  virtual void idle_evaluation() {}

  virtual const comm::FoldCounters& counters() const = 0;
  // Rows of the start report: {"strategy", "sharded, stage 2, 4 buckets"}, {"reduce", ...}.
  virtual std::vector<std::pair<std::string, std::string>> settings() const = 0;
  // Lines for the end of the run: what the strategy has measured (staleness, lanes dealt).
  virtual std::vector<std::string> report() { return {}; }  // collective
  virtual std::vector<nn::LedgerRow> ledger() const = 0;
};

enum class Kind : std::uint8_t { kReplicated, kSharded, kServer, kLocal };
std::string_view name_of(Kind kind);
enum class ServerMode : std::uint8_t { kSync, kBounded, kAsync };
enum class OuterStep : std::uint8_t { kAverage, kNesterov };  // kNesterov: Douillard et al. 2023
enum class Assignment : std::uint8_t { kStatic, kAdaptive, kQueue };

struct Options {
  Kind kind = Kind::kReplicated;
  std::int64_t lanes = 1, accumulate = 1, bucket_bytes = 0 /* measured */;
  int streams = 1;
  comm::ReduceKind reduce = comm::ReduceKind::kFold;
  comm::LeafType leaf = comm::LeafType::kFp32;
  std::int64_t stage = 3;       // kSharded: 1, 2, 3
  std::int64_t lane_group = 1;  // stage 3: lanes that go through a gathered layer together
  std::int64_t servers = 1;     // kServer
  ServerMode mode = ServerMode::kSync;
  std::int64_t staleness = 2;  // kBounded: steps that a worker may be ahead
  double lease = 60;           // seconds after which a worker's share of work is given to another
  std::int64_t replicas = 0;   // kLocal; 0: lanes
  std::int64_t every = 50;     // kLocal: steps between meetings
  OuterStep outer = OuterStep::kAverage;
  double outer_lr = 0.7, outer_momentum = 0.9;
  Assignment assignment = Assignment::kStatic;
  std::int64_t extra = 2;  // kQueue: lanes that a stream may take from others in a step
};

// Lanes for whose decoded windows a rank should have room: comm::lane_places().
std::int64_t lane_places(const comm::Topology& topology, const Options& options);

// Whether what follows knows the strategy: all but parameter servers.
bool has_plan(Kind kind);
// Lanes whose samples each position reads. Throws UserError where there are fewer lanes than ranks.
std::vector<std::int64_t> planned_lanes(const comm::Topology& topology, const Options& options);
// The rows that ledger() will have on this position, before the strategy is made. on_device: of one
// that is not the host; sums of a node then go from device to device, those between nodes through
// the host. Throws UserError where options and ranks do not fit together.
std::vector<nn::LedgerRow> planned_ledger(const comm::Topology& topology,
                                          const nn::Program& program,
                                          const optim::Options& optimizer_options,
                                          const Options& options, bool on_device = false);
// The tensors that state() will have, as far as sizes need: on every position the same.
struct PlannedTensor {
  std::string name;
  std::vector<int> holders;  // by block of the table, the position that holds it; empty: all do
  bool on_host = false;      // whatever the device
};
std::vector<PlannedTensor> planned_state(const comm::Topology& topology,
                                         const nn::Program& program,
                                         const optim::Options& optimizer_options,
                                         const Options& options);

// Collective. Throws UserError where options, ranks and device do not fit together. What is handed
// in by reference must outlive the strategy.
std::unique_ptr<Strategy> make_strategy(comm::Communicator& communicator, Device& device,
                                        nn::Program& program,
                                        const optim::Options& optimizer_options,
                                        const Options& options);

}  // namespace lockstep::parallel
