// The replicated strategy: every rank holds all parameters and the whole optimizer state; the
// lanes' gradients are folded so that every rank reads the same sum and takes the same step.
#pragma once
#include "parallel/synchronous.h"

namespace lockstep::parallel {

class Replicated final : public Synchronous {
 public:
  Replicated(comm::Communicator& communicator, Device& device, nn::Program& program,
             const optim::Options& optimizer_options, const Options& options);

  std::vector<StateTensor> state() override;
  void restored() override { program_.pack(); }
  std::vector<nn::LedgerRow> ledger() const override;

 private:
  void update(std::int64_t step, double scale, double statistics_scale) override;
  std::string name() const override { return "replicated"; }

  Buffer flat_;
  optim::Optimizer optimizer_;
};

// The tensors of an optimizer: "optimizer/m", "optimizer/v".
void append_state(std::vector<StateTensor>& tensors, const optim::Optimizer& optimizer);

}  // namespace lockstep::parallel
