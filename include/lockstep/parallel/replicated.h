// The replicated strategy: every rank holds all parameters and the whole optimizer state; the
// lanes' gradients are folded so that every rank reads the same sum and takes the same step. Each
// strategy turns gradients into new parameters behind these few calls; model and data code never
// know which.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/fold.h"
#include "lockstep/nn/program.h"
#include "lockstep/ops/loss.h"
#include "lockstep/optim/optimizer.h"
#include "lockstep/parallel/buckets.h"

namespace lockstep::parallel {

struct Options {
  std::int64_t lanes = 1, accumulate = 1, bucket_bytes = 4 << 20;
  int streams = 1;
  comm::ReduceKind reduce = comm::ReduceKind::kFold;
};

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
};

class Replicated {
 public:
  // Collective. parameters: the flat buffer of the program's table, on the program's device. What
  // is handed in by reference must outlive this.
  Replicated(comm::Communicator& communicator, Device& device, nn::Program& program,
             float* parameters, optim::Optimizer& optimizer,
             const optim::Options& optimizer_options, const Options& options);
  ~Replicated();

  comm::LaneRange lanes(int stream) const;
  std::int64_t all_lanes() const { return options_.lanes; }
  // Where the gradients of this microbatch go.
  nn::GradientSink& begin(int stream, std::int64_t lane, std::int64_t micro);
  void set_record(std::int64_t lane, const StepRecord& record);
  // Moves the folding forward; for the thread of stream 0 while it waits for a device.
  void progress() { fold_->progress(); }
  // Folds, agrees that all is finite, updates the parameters and packs them anew. Every stream has
  // been waited for. Throws DataError naming what is not finite (lane, rank or parameter) on all
  // ranks alike, with nothing applied.
  StepOutcome finish(std::int64_t step);

  const comm::FoldCounters& counters() const { return fold_->counters(); }
  int buckets() const { return static_cast<int>(buckets_.size()); }
  std::string path() const { return fold_->path(); }  // how sums travel
  std::vector<nn::LedgerRow> ledger() const;

 private:
  class Sink;
  StepRecord fold_records();
  void refuse_non_finite(std::int64_t step) const;
  void update(std::int64_t step, double scale);

  Device& device_;
  nn::Program& program_;
  const ParameterTable& table_;
  float* parameters_;
  optim::Optimizer& optimizer_;
  const optim::Options optimizer_options_;
  const Options options_;
  std::vector<Bucket> buckets_;
  std::vector<int> bucket_of_;      // parameter -> bucket
  std::vector<StepRecord> leaves_;  // scratch of fold_records()
  std::unique_ptr<TreeArithmetic> arithmetic_;  // of a device whose streams run late
  std::unique_ptr<comm::Fold> fold_;
  std::vector<std::unique_ptr<Sink>> sinks_;
};

// Adds leaves in the one tree over lanes, in place; leaves[i] belongs to lane i.
StepRecord fold_in_tree(std::span<StepRecord> leaves);

}  // namespace lockstep::parallel
