// The steps that replicas take alone: those of the replicated strategy, over a replica's lanes and
// within one process. One copy of parameters serves the rank's replicas in turn; each keeps an
// optimizer's state of its own. Knows nothing of meetings.
#pragma once
#include <memory>
#include <vector>

#include "parallel/synchronous.h"

namespace lockstep::parallel {

class LocalSteps final : public Synchronous {
 public:
  // options.lanes: of one replica. self: of this process alone. replicas: of this rank.
  LocalSteps(comm::Communicator& self, Device& device, nn::Program& program,
             const optim::Options& optimizer_options, const Options& options, int replicas);

  // The steps that follow are those of this one of the rank's replicas.
  void take_up(int replica, std::int64_t first_lane);
  // Parameters in the host's memory, with the layout of the flat buffer: into the copy that the
  // program reads, and out of it when all work given so far is done. What changed() returns holds
  // until the next step.
  void begin_from(const float* parameters);
  const float* changed();

  const optim::Optimizer& optimizer(int replica) const { return *optimizers_[replica]; }
  std::vector<StateTensor> state() override;
  void restored() override { program_.pack(); }
  std::vector<nn::LedgerRow> ledger() const override;

 private:
  void update(std::int64_t step, double scale, double statistics_scale) override;
  std::string name() const override { return "local"; }
  std::size_t flat_bytes() const { return table_.flat_elements() * sizeof(float); }

  Buffer flat_;
  Buffer on_host_;  // where the host does not read the device's memory
  std::vector<std::unique_ptr<optim::Optimizer>> optimizers_;
  optim::Optimizer* optimizer_;  // of the replica at work
};

}  // namespace lockstep::parallel
