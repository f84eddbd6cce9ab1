// A server of an asynchronous parameter server: takes pushed gradients, sums `lanes` of them in the
// order of their numbers, updates its shard, and sends parameters to whoever pulls. The first
// server also owns the queue of tickets. Knows no model and no data.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parallel/served_parameters.h"
#include "parallel/server_letters.h"
#include "parallel/ticket_queue.h"

namespace lockstep::parallel {

// What has been measured, over all stretches.
struct Staleness {
  std::int64_t results = 0;          // accepted and applied
  std::int64_t updates_between = 0;  // from a result's pull to its own update, summed
  std::int64_t most = 0;
};

class QueueServer {
 public:
  QueueServer(comm::ServerExchange& exchange, ServedParameters& served, Device& device,
              const ParameterTable& table, const BucketTable& buckets,
              const optim::Options& optimizer_options, const Options& options,
              std::int64_t most_steps);

  // Serves steps [step, step + outcomes.size()), or fewer where a rank asks to stop or to save;
  // returns how many. All workers have the last parameters then.
  std::int64_t run(std::int64_t step, LaneRunner& runner, std::span<StepOutcome> outcomes);
  // Why the last stretch ended before an update; empty: it did not.
  const std::string& failure() const { return failure_; }

  const Staleness& staleness() const { return staleness_; }
  const TicketQueue::Counts* counts() const { return queue_ ? &queue_->counts() : nullptr; }
  double waited() const { return waited_; }    // seconds
  double summing() const { return summing_; }  // seconds
  std::size_t bytes() const { return inbox_.bytes() + shard_bytes_; }

 private:
  enum class Use : std::uint8_t { kFree, kReceiving, kFull };
  struct Slot {
    Use use = Use::kFree;
    Letter letter;
    std::vector<float*> pieces;  // by bucket
    int parcel = 0;
  };
  struct Pull {
    bool waits = false, last = false;
    std::int64_t at_least = 0, has = 0;
  };
  bool owner() const { return queue_.has_value(); }
  bool progress();
  void handle(int from, const Letter& letter);
  void heed(const StepRecord& requests);
  void look_at_requests();
  bool take_gradients();
  void add(Slot& slot);
  void give_back(Slot& slot);
  void apply();
  std::string what_is_not_finite() const;
  bool answer_pulls();
  bool hand_out();
  void end();
  bool finished();

  comm::ServerExchange& exchange_;
  ServedParameters& served_;
  const ParameterTable& table_;
  const BucketTable& buckets_;
  const optim::Options optimizer_options_;
  const Options options_;
  const int workers_, owner_position_;
  Buffer inbox_, sums_;
  std::size_t shard_bytes_ = 0;
  std::vector<Slot> slots_;          // by worker, then by the worker's slot
  std::vector<Pull> pulls_;          // by worker
  std::vector<std::int64_t> wants_;  // by worker: tickets
  std::vector<Letter> update_;       // the results of the update in the making
  std::vector<StepRecord> leaves_;   // scratch
  std::vector<double> values_;       // by block: sum of squares
  ServerValues norms_;
  std::optional<TicketQueue> queue_;  // of the first server
  LaneRunner* runner_ = nullptr;      // of the stretch
  std::span<StepOutcome> outcomes_;
  std::int64_t first_step_ = 0, version_ = 0, end_version_ = 0;
  std::int64_t next_ = 0;  // number of the result that is added next
  int last_pulls_ = 0;     // answered
  bool ended_ = false, told_ = false;
  StepRecord requests_;  // of all ranks in this stretch
  std::string failure_;
  Staleness staleness_;
  double waited_ = 0, summing_ = 0;
};

}  // namespace lockstep::parallel
