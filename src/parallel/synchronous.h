// What the strategies share that sum all lanes' gradients before every update: lanes into sinks,
// records, the finite check, norm and clipping. How parameters are kept and updated is the
// strategy's own.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/parallel/strategy.h"
#include "parallel/gradient_sink.h"

namespace lockstep::parallel {

class Synchronous : public Strategy {
 public:
  std::vector<std::vector<comm::LaneRange>> home() const override;
  bool moves_lanes() const override { return moves_lanes_; }
  void keep_lanes() override;
  const comm::LaneCuts* deal_between_nodes() override { return fold_->deal_between_nodes(); }
  bool ask(StepGuard& guard) override { return guard_ = &guard, true; }
  std::int64_t run(std::int64_t step, LaneRunner& runner, std::span<StepOutcome> outcomes) override;
  const comm::FoldCounters& counters() const override { return fold_->counters(); }
  std::vector<std::pair<std::string, std::string>> settings() const override;
  std::vector<std::string> report() override;
  std::vector<nn::LedgerRow> ledger() const override;

 protected:
  Synchronous(comm::Communicator& communicator, Device& device, nn::Program& program,
              const optim::Options& optimizer_options, const Options& options);
  // All gradients are summed and finite. scale: of the sums; statistics_scale: of those of running
  // statistics.
  virtual void update(std::int64_t step, double scale, double statistics_scale) = 0;
  virtual void run_lanes(std::int64_t step, LaneRunner& runner);
  // One lane's accumulated microbatches on a stream.
  void run_lane(int stream, std::int64_t step, std::int64_t lane, LaneRunner& runner);
  // What LOCKSTEP_FAULT asks for at "gradient".
  void damage_gradient(int stream, std::int64_t step, std::int64_t lane);
  // The records of the lanes that a stream has run, once they are complete.
  void hand_over_records(int stream, Requests requests);
  virtual std::string name() const = 0;  // for settings(): "replicated"

  comm::Communicator& communicator_;
  Device& device_;
  nn::Program& program_;
  const ParameterTable& table_;
  const optim::Options optimizer_options_;
  const Options options_;
  const BucketTable buckets_;
  std::int64_t first_lane_ = 0;  // of the run, where the fold is over some of its lanes
  std::unique_ptr<TreeArithmetic> arithmetic_;  // of a device whose streams run late
  std::unique_ptr<comm::Fold> fold_;
  std::vector<std::unique_ptr<GradientSink>> sinks_;  // by stream
  std::vector<StepRecord> records_;                   // by lane
  std::vector<std::vector<std::int64_t>> ran_;        // stream -> lanes of this step

 private:
  StepRecord fold_records();
  void find_non_finite(StepOutcome& outcome) const;
  bool accepted(std::int64_t step, StepOutcome& outcome) const;
  void damage_copy(std::int64_t step);  // what it asks for at "update"

  StepGuard* guard_ = nullptr;
  bool moves_lanes_;
  std::vector<StepRecord> leaves_;  // scratch of fold_records()
};

comm::FoldArithmetic host_arithmetic();

}  // namespace lockstep::parallel
