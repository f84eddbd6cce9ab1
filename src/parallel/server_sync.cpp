#include "parallel/server_sync.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::parallel {
namespace {

// Refused before anything is allocated or sent.
const Options& checked(const comm::Communicator& communicator, const Options& options) {
  server_roles(communicator, options);
  return options;
}

}  // namespace

std::string dealt_to_workers(std::int64_t lanes, const comm::ServerRoles& roles) {
  const std::int64_t least = lanes / roles.workers();
  const std::int64_t most = (lanes + roles.workers() - 1) / roles.workers();
  return least == most ? fmt::format("{} to each worker", least)
                       : fmt::format("{} to {} to a worker", least, most);
}

std::string server_text(const comm::ServerRoles& roles, const Options& options,
                        const BucketTable& buckets) {
  return fmt::format("server, {}: {} rank{} serve{} {} worker{}, {}", name_of(options.mode),
                     roles.servers, roles.servers == 1 ? "" : "s", roles.servers == 1 ? "s" : "",
                     roles.workers(), roles.workers() == 1 ? "" : "s", buckets.text());
}

ServerSync::ServerSync(comm::Communicator& communicator, Device& device, nn::Program& program,
                       const optim::Options& optimizer_options, const Options& options)
    : Synchronous(communicator, device, program, optimizer_options, checked(communicator, options)),
      exchange_(comm::make_server_exchange(communicator, 1)),
      served_(communicator, device, program, buckets_, optimizer_options,
              server_roles(communicator, options), *exchange_) {}

// A server has no lane that could carry its requests.
void ServerSync::run_lanes(std::int64_t step, LaneRunner& runner) {
  if (!served_.serves()) return Synchronous::run_lanes(step, runner);
  const Requests requests = runner.requests();
  StepRecord record;
  record.stop_requests = requests.stop ? 1 : 0;
  record.save_requests = requests.save ? 1 : 0;
  fold_->set_record(options_.lanes + served_.server(), &record);
}

std::int64_t ServerSync::run(std::int64_t step, LaneRunner& runner,
                             std::span<StepOutcome> outcomes) {
  const std::int64_t done = Synchronous::run(step, runner, outcomes);
  StepRecord& total = outcomes.front().total;
  for (int k = 0; k < served_.roles().servers; ++k) {
    const auto& record = *static_cast<const StepRecord*>(fold_->record(options_.lanes + k));
    total.stop_requests += record.stop_requests;
    total.save_requests += record.save_requests;
  }
  return done;
}

void ServerSync::update(std::int64_t step, double scale, double statistics_scale) {
  if (served_.serves()) {
    served_.step(
        step, scale, statistics_scale, [this](int block) { return fold_->sum(block); }, true);
  } else {
    for (int k = 0; k < served_.roles().servers; ++k) served_.receive(k);
    waited_ += served_.await_and_pack(step + 1);
  }
  fold_->release();
}

const comm::FoldCounters& ServerSync::counters() const {
  counters_ = fold_->counters();
  counters_.bytes_sent += exchange_->bytes_sent();
  counters_.wait.exposed += waited_;
  return counters_;
}

std::vector<std::pair<std::string, std::string>> ServerSync::settings() const {
  return {{"lanes", dealt_to_workers(options_.lanes, served_.roles())},
          {"strategy", server_text(served_.roles(), options_, buckets_)},
          {"reduce", "fold by the servers: the same bits on any number of ranks"}};
}

std::vector<nn::LedgerRow> ServerSync::ledger() const {
  std::vector<nn::LedgerRow> rows = served_.ledger();
  rows.push_back({"messages", fold_->private_bytes(),
                  served_.serves() ? "the workers' partial sums, and the sums"
                                   : "partial sums of the lanes, on their way to the servers",
                  true});
  if (fold_->device_bytes() > 0)
    rows.push_back({"gradients", fold_->device_bytes(), "leaves and partial sums"});
  std::size_t sinks = 0;
  for (const auto& sink : sinks_) sinks += sink->bytes();
  if (sinks > 0) rows.push_back({"accumulation", sinks, "sum over microbatches of a lane"});
  return rows;
}

}  // namespace lockstep::parallel
