// The parameter server whose workers do not wait for each other: tickets, each a lane of a step, go
// to whoever is free, and `lanes` results, whichever come first, make an update (mode async); with
// mode bounded nobody runs more than `staleness` steps ahead. Outside the contract on bits: which
// parameters a result was computed with depends on time.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "parallel/queue_server.h"
#include "parallel/queue_worker.h"

namespace lockstep::parallel {

class ServerQueue final : public Strategy {
 public:
  ServerQueue(comm::Communicator& communicator, Device& device, nn::Program& program,
              const optim::Options& optimizer_options, const Options& options);

  std::vector<std::vector<comm::LaneRange>> home() const override;
  std::int64_t stretch(std::int64_t step, std::int64_t most) const override;
  bool ends_anywhere() const override { return true; }
  std::int64_t run(std::int64_t step, LaneRunner& runner, std::span<StepOutcome> outcomes) override;
  std::vector<StateTensor> state() override { return served_.state(); }
  std::vector<StateTensor> copies() override { return served_.copies(); }
  void restored() override { served_.distribute(); }
  std::vector<int> evaluators() const override { return served_.workers(); }
  const comm::FoldCounters& counters() const override;
  std::vector<std::pair<std::string, std::string>> settings() const override;
  std::vector<std::string> report() override;
  std::vector<nn::LedgerRow> ledger() const override;

 private:
  comm::Communicator& communicator_;
  const Options options_;
  const BucketTable buckets_;
  std::unique_ptr<comm::ServerExchange> exchange_;
  ServedParameters served_;
  std::unique_ptr<QueueWorker> worker_;  // one of these two
  std::unique_ptr<QueueServer> server_;
  mutable comm::FoldCounters counters_;
};

}  // namespace lockstep::parallel
