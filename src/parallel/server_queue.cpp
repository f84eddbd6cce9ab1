#include "parallel/server_queue.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "parallel/server_sync.h"

namespace lockstep::parallel {
namespace {

// Between two stretches all workers wait for the last ticket: rarely enough to cost nothing, and
// often enough for a log that goes on.
constexpr std::int64_t kLongestStretch = 256;  // steps

// How a stretch ended, from the queue's owner to all ranks.
struct Ending {
  std::int64_t done = 0;
  char failure[512] = "";
};

}  // namespace

ServerQueue::ServerQueue(comm::Communicator& communicator, Device& device, nn::Program& program,
                         const optim::Options& optimizer_options, const Options& options)
    : communicator_(communicator),
      options_(options),
      buckets_(communicator, program, options.bucket_bytes),
      exchange_((server_roles(communicator, options),
                 comm::make_server_exchange(communicator, sizeof(Letter)))),
      served_(communicator, device, program, buckets_, optimizer_options,
              server_roles(communicator, options), *exchange_) {
  if (served_.serves()) {
    server_ = std::make_unique<QueueServer>(*exchange_, served_, device, program.table(), buckets_,
                                            optimizer_options, options, kLongestStretch);
  } else {
    worker_ =
        std::make_unique<QueueWorker>(*exchange_, served_, device, program, buckets_, options);
  }
}

std::vector<std::vector<comm::LaneRange>> ServerQueue::home() const {
  std::vector<std::vector<comm::LaneRange>> lanes(options_.streams);
  if (!served_.serves()) {
    const auto cut = comm::cut_lanes(options_.lanes, served_.roles().workers());
    lanes.front().push_back(cut[communicator_.topology().position]);
  }
  return lanes;
}

std::int64_t ServerQueue::stretch(std::int64_t /*step*/, std::int64_t most) const {
  return std::min(most, kLongestStretch);
}

std::int64_t ServerQueue::run(std::int64_t step, LaneRunner& runner,
                              std::span<StepOutcome> outcomes) {
  Ending ending;
  if (server_) {
    ending.done = server_->run(step, runner, outcomes);
    const std::string& failure = server_->failure();
    std::memcpy(ending.failure, failure.data(),
                std::min(failure.size(), sizeof ending.failure - 1));
  } else {
    worker_->run(step, runner);
  }
  const comm::Topology& topology = communicator_.topology();
  const int root = topology.rank_at[served_.roles().position_of(0)];
  comm::broadcast_value(communicator_, ending, root);
  if (ending.failure[0] != '\0') throw DataError("{}", ending.failure);
  communicator_.broadcast(std::as_writable_bytes(outcomes.first(ending.done)), root);
  return ending.done;
}

const comm::FoldCounters& ServerQueue::counters() const {
  counters_.bytes_sent = exchange_->bytes_sent();
  counters_.fold_seconds = server_ ? server_->summing() : 0;
  counters_.wait.exposed =
      server_ ? std::max(0.0, server_->waited() - server_->summing()) : worker_->waited();
  return counters_;
}

std::vector<std::pair<std::string, std::string>> ServerQueue::settings() const {
  const std::string ahead =
      options_.mode == ServerMode::kBounded
          ? fmt::format("nobody starts more than {} steps ahead", options_.staleness)
          : std::string("nobody waits");
  return {{"lanes", fmt::format("handed out to whoever is free, again after {} s", options_.lease)},
          {"strategy", server_text(served_.roles(), options_, buckets_)},
          {"reduce", fmt::format("the first {} results to come: outside the contract on bits; {}",
                                 options_.lanes, ahead)}};
}

std::vector<std::string> ServerQueue::report() {
  struct Figures {
    Staleness staleness;
    TicketQueue::Counts counts;
  } figures;
  if (server_ && server_->counts() != nullptr) figures = {server_->staleness(), *server_->counts()};
  const comm::Topology& topology = communicator_.topology();
  comm::broadcast_value(communicator_, figures, topology.rank_at[served_.roles().position_of(0)]);
  const auto& [results, between, most] = figures.staleness;
  const double mean =
      static_cast<double>(between) / static_cast<double>(std::max<std::int64_t>(1, results));
  return {fmt::format("staleness: {:.2f} updates in the mean, {} at most, of {} results; a worker "
                      "started up to {} steps ahead",
                      mean, most, results, figures.counts.furthest),
          fmt::format("leases: {} ran out and were handed to another; {} late results were refused",
                      figures.counts.handed_again, figures.counts.refused)};
}

std::vector<nn::LedgerRow> ServerQueue::ledger() const {
  std::vector<nn::LedgerRow> rows = served_.ledger();
  if (server_) {
    rows.push_back(
        {"messages", server_->bytes(), "gradients from the workers, and their sum", true});
  } else {
    rows.push_back(
        {"messages", worker_->slot_bytes(), "gradients on their way to the servers", true});
    if (worker_->device_bytes() > 0)
      rows.push_back({"gradients", worker_->device_bytes(), "in the making"});
    if (worker_->sink_bytes() > 0)
      rows.push_back(
          {"accumulation", worker_->sink_bytes(), "a bucket of a later microbatch of a lane"});
  }
  return rows;
}

}  // namespace lockstep::parallel
