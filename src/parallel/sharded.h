// The sharded strategy (Rajbhandari et al. 2020): each rank updates the blocks that it owns, a part
// of every bucket. Stage 1 shares out the optimizer's state; stage 2 also the gradients, summed in
// rounds of lanes; stage 3 also the parameters, which are brought for a layer at a time.
#pragma once
#include <memory>
#include <vector>

#include "lockstep/comm/shard_values.h"
#include "lockstep/comm/shared_flat.h"
#include "parallel/sharded_device.h"
#include "parallel/synchronous.h"

namespace lockstep::parallel {

class Sharded final : public Synchronous {
 public:
  // Stage 3: the program is made with ProgramOptions::held.
  Sharded(comm::Communicator& communicator, Device& device, nn::Program& program,
          const optim::Options& optimizer_options, const Options& options);
  ~Sharded() override;

  std::vector<StateTensor> state() override;
  std::vector<StateTensor> copies() override;
  void restored() override;
  bool passes_together() const override { return held_; }
  void idle_evaluation() override { idle_pass(program_.evaluation_uses()); }
  const comm::FoldCounters& counters() const override;
  std::vector<nn::LedgerRow> ledger() const override;

 private:
  class Source;
  void run_lanes(std::int64_t step, LaneRunner& runner) override;
  void run_group(std::int64_t step, LaneRunner& runner);
  void idle_pass(int uses);
  void update(std::int64_t step, double scale, double statistics_scale) override;
  // The owners have written their blocks: to whoever reads them.
  void bring_parameters(std::int64_t step);
  void share_norms(std::span<double> squares, std::int64_t step);
  std::string name() const override;

  const bool held_;  // stage 3
  std::unique_ptr<comm::SharedFlat> flat_;
  std::unique_ptr<comm::ShardValues> norms_;  // LAMB's
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::unique_ptr<ShardedDevice> on_device_;     // where the device is not the host
  std::unique_ptr<nn::ParameterSource> source_;  // stage 3
  std::vector<LanePass> group_;                  // scratch of run_group()
  std::vector<std::int64_t> group_lanes_;        // by stream; -1: none
  std::vector<const float*> idle_addresses_;     // scratch of idle_pass()
  std::int64_t step_ = 0;                        // for waits
  mutable comm::FoldCounters counters_;
};

}  // namespace lockstep::parallel
