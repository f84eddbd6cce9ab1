// The parameter server whose workers wait for every update: the last ranks hold the shards of
// parameters and optimizer, the others run all lanes. The bits are those of replicated.
#pragma once
#include "parallel/served_parameters.h"
#include "parallel/synchronous.h"

namespace lockstep::parallel {

class ServerSync final : public Synchronous {
 public:
  ServerSync(comm::Communicator& communicator, Device& device, nn::Program& program,
             const optim::Options& optimizer_options, const Options& options);

  std::int64_t run(std::int64_t step, LaneRunner& runner, std::span<StepOutcome> outcomes) override;
  std::vector<StateTensor> state() override { return served_.state(); }
  std::vector<StateTensor> copies() override { return served_.copies(); }
  void restored() override { served_.distribute(); }
  std::vector<int> evaluators() const override { return served_.workers(); }
  const comm::FoldCounters& counters() const override;
  std::vector<std::pair<std::string, std::string>> settings() const override;
  std::vector<nn::LedgerRow> ledger() const override;

 private:
  void run_lanes(std::int64_t step, LaneRunner& runner) override;
  void update(std::int64_t step, double scale, double statistics_scale) override;
  std::string name() const override { return "server"; }

  std::unique_ptr<comm::ServerExchange> exchange_;
  ServedParameters served_;
  double waited_ = 0;  // for parameters, seconds
  mutable comm::FoldCounters counters_;
};

// "2 to 3 to a worker"
std::string dealt_to_workers(std::int64_t lanes, const comm::ServerRoles& roles);
// "server, sync: 1 rank serves 3 workers, 4 buckets"
std::string server_text(const comm::ServerRoles& roles, const Options& options,
                        const BucketTable& buckets);

}  // namespace lockstep::parallel
