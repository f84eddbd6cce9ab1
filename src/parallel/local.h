// Local steps: replicas train alone on their lanes and meet every H steps, where the mean of their
// changes is applied to the parameters that all begin from again. A replica's numbers do not depend
// on which rank runs it, nor on how many ranks there are; a rank runs its replicas in turn.
//   outer = "average": the replicas' mean (McMahan et al. 2017, Stich 2019).
//   outer = "nesterov": a step of SGD with Nesterov momentum along it (Douillard et al. 2023).
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/ops/vector.h"
#include "parallel/gradient_sink.h"
#include "parallel/local_layout.h"
#include "parallel/local_steps.h"

namespace lockstep::parallel {

class Local final : public Strategy {
 public:
  Local(comm::Communicator& communicator, Device& device, nn::Program& program,
        const optim::Options& optimizer_options, const Options& options);

  std::vector<std::vector<comm::LaneRange>> home() const override;
  std::int64_t stretch(std::int64_t step, std::int64_t most) const override;
  std::int64_t run(std::int64_t step, LaneRunner& runner, std::span<StepOutcome> outcomes) override;
  std::vector<StateTensor> state() override;
  void restored() override { steps_.begin_from(global_.as<float>()); }
  const comm::FoldCounters& counters() const override { return fold_->counters(); }
  std::vector<std::pair<std::string, std::string>> settings() const override;
  std::vector<nn::LedgerRow> ledger() const override;

 private:
  void run_alone(std::int64_t replica, std::int64_t step, LaneRunner& runner,
                 std::span<StepOutcome> outcomes);
  void hand_in_change(std::int64_t replica);
  void refuse_failures(std::int64_t steps);
  void refuse_non_finite(std::int64_t step, std::int64_t steps) const;
  StepOutcome outcome(std::int64_t step, std::int64_t index);
  void move_global();
  const ToldStep& told(std::int64_t replica, std::int64_t index) const;

  comm::Communicator& communicator_;
  const ParameterTable& table_;
  const optim::Options optimizer_options_;
  const Options options_;
  const std::int64_t replicas_, lanes_of_replica_;
  const std::vector<comm::LaneRange> dealt_;  // position -> replicas
  const comm::LaneRange mine_;
  const std::unique_ptr<comm::Communicator> self_;
  LocalSteps steps_;
  const BucketTable buckets_;
  const std::unique_ptr<comm::Fold> fold_;  // over replicas, in the host's memory
  Buffer global_;                           // as all left the last meeting; on the host
  Buffer momentum_;                         // of the outer step; on the host
  const ops::SgdStep average_, outer_;      // of statistics; of what is trained
  std::vector<ToldStep> told_;              // of the replica at work, by step
  std::string failure_;                     // of this rank
  std::vector<StepRecord> leaves_;          // scratch of outcome()
  std::vector<std::vector<int>> holders_;   // replica -> block -> position
};

}  // namespace lockstep::parallel
