// Gradients by ring allreduces, as others do it: buckets in order as they become ready on all
// ranks, one allreduce at a time beside computing; with a cycle, Horovod's fusion (Sergeev & Del
// Balso 2018): every cycle the coordinator asks all ranks what is ready, and what is goes together.
#include <algorithm>
#include <cmath>
#include <map>

#include "lockstep/comm/node_store.h"
#include "lockstep/plan/cost.h"
#include "plan/simulate_network.h"
#include "plan/simulate_ring.h"
#include "plan/simulate_step.h"

namespace lockstep::plan {
namespace {

using events::Kind;
using Track = Timeline::Track;

class RingPlayer final : public StepPlayer {
 public:
  RingPlayer(const Job& job, const Machine& machine, const Layout& layout, std::int64_t played,
             const SimulateOptions& options)
      : job_(job), machine_(machine), layout_(layout), options_(options) {
    const std::int64_t busy = std::min(layout.ranks, layout.ranks_per_node);
    work_ = work_seconds(job, machine.device, busy);
    const std::int64_t most = (job.lanes + layout.ranks - 1) / layout.ranks;
    for (std::int64_t lanes = 1; lanes <= most; ++lanes) {
      if (lanes < job.lanes / layout.ranks) continue;
      schedules_.emplace(lanes,
                         make_schedule(job, machine.device, busy, {.lanes = lanes, .gather = {}}));
    }
    // The ranks that have one lane more come first.
    for (std::int64_t rank = 0; rank < played; ++rank)
      lanes_.push_back(job.lanes / layout.ranks + (rank < job.lanes % layout.ranks ? 1 : 0));
    for (const parallel::Bucket& bucket : job.buckets)
      bytes_.push_back(options.element_bytes * static_cast<double>(bucket.range.size()));
  }

  void play(StepPlay& step, std::int64_t number) override;
  double bytes_sent(std::int64_t rank) const override {
    const bool leaves = layout_.nodes() > 1 && (rank + 1) % layout_.ranks_per_node == 0;
    return leaves ? traffic() : 0;
  }
  double bytes_read(std::int64_t rank) const override {
    return bytes_sent(rank) > 0 ? 0 : traffic();
  }

 private:
  double traffic() const {
    double all = 0;
    for (const double bytes : bytes_) all += bytes;
    const auto ranks = static_cast<double>(layout_.ranks);
    return 2 * all * (ranks - 1) / ranks;
  }
  double allreduce(double bytes);
  double agreement() const;

  const Job& job_;
  const Machine& machine_;
  const Layout layout_;
  const SimulateOptions options_;
  WorkSeconds work_;
  std::map<std::int64_t, Schedule> schedules_;
  std::vector<std::int64_t> lanes_;
  std::vector<double> bytes_;
  std::map<double, double> known_;  // bytes -> seconds
};

double RingPlayer::allreduce(double bytes) {
  const auto found = known_.find(bytes);
  if (found != known_.end()) return found->second;
  const double seconds = options_.exchange == Exchange::kTwoLevelRing
                             ? two_level_ring_seconds(machine_, layout_, bytes, work_.add)
                             : ring_seconds(machine_, layout_, bytes, work_.add);
  return known_[bytes] = seconds;
}

// The coordinator takes a message from every other rank, one by one, and answers down a tree.
double RingPlayer::agreement() const {
  if (options_.cycle <= 0 || layout_.ranks == 1) return 0;
  const auto others = static_cast<double>(layout_.ranks - 1);
  const double message = options_.message_latency + 2 * options_.message_overhead;
  return others * options_.message_overhead + message + std::ceil(std::log2(others + 1)) * message;
}

void RingPlayer::play(StepPlay& step, std::int64_t /*number*/) {
  const auto ranks = static_cast<std::int64_t>(lanes_.size());
  std::vector<double> ready(bytes_.size(), 0.0), computed(ranks);
  double first = step.ranks.front().start;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    RankStep& mine = step.ranks[rank];
    const Schedule& schedule = schedules_.at(lanes_[rank]);
    first = std::min(first, mine.start);
    mine.compute = schedule.seconds * mine.factor;
    computed[rank] = mine.start + mine.compute;
    for (std::size_t b = 0; b < bytes_.size(); ++b)
      ready[b] = std::max(ready[b], mine.start + schedule.ready[b] * mine.factor);
    if (step.timeline != nullptr)
      step.timeline->compute(rank, schedule, 0, schedule.seconds, mine.start, computed[rank]);
  }
  struct Flight {
    double begin, end;
    std::size_t bucket;
    double bytes;
  };
  std::vector<Flight> flights;
  double free = first, look = first;
  for (std::size_t b = 0; b < bytes_.size() && layout_.ranks > 1;) {
    double begin = std::max(free, ready[b]);
    std::size_t end = b + 1;
    double bytes = bytes_[b];
    if (options_.cycle > 0) {
      // The first look of the coordinator at which this one is ready; what else is then ready and
      // fits goes with it.
      if (look < ready[b] && !options_.host_ahead)
        look += std::ceil((ready[b] - look) / options_.cycle) * options_.cycle;
      while (end < bytes_.size() && (options_.host_ahead || ready[end] <= look) &&
             bytes + bytes_[end] <= options_.fusion_bytes) {
        bytes += bytes_[end++];
      }
      begin =
          options_.host_ahead ? std::max(free, ready[end - 1]) : std::max(free, look + agreement());
      // Copied into the buffer and out of it where several went together.
      if (end > b + 1 && machine_.device.memory_bandwidth > 0)
        begin += 4 * bytes / machine_.device.memory_bandwidth;
    }
    free = begin + allreduce(bytes);
    flights.push_back({begin, free, b, bytes});
    b = end;
  }
  const bool sharded = job_.parallel.kind == parallel::Kind::kSharded;
  const double parts = sharded ? static_cast<double>(layout_.ranks) : 1;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    RankStep& mine = step.ranks[rank];
    const double end = std::max(free, computed[rank]);
    mine.exposed = end - computed[rank];
    for (const Flight& f : flights)
      mine.hidden += std::max(0.0, std::min(f.end, computed[rank]) - f.begin);
    const double update = work_.update / parts * mine.factor;
    mine.compute += update;
    mine.end = end + update;
    if (step.timeline == nullptr) continue;
    for (const Flight& f : flights)
      step.timeline->add(rank, Track::kMessages, Kind::kMessage, "allreduce", f.begin, f.end,
                         static_cast<int>(f.bucket), f.bytes);
    step.timeline->add(rank, Track::kCompute, Kind::kWait, "allreduce", computed[rank], end);
    step.timeline->add(rank, Track::kCompute, Kind::kUpdate, "update", end, mine.end);
  }
}

}  // namespace

std::unique_ptr<StepPlayer> make_ring_player(const Job& job, const Machine& machine,
                                             const Layout& layout, std::int64_t played,
                                             const SimulateOptions& options) {
  return std::make_unique<RingPlayer>(job, machine, layout, played, options);
}

}  // namespace lockstep::plan
