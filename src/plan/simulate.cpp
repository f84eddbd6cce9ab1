#include "lockstep/plan/simulate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"
#include "lockstep/train/run_record.h"
#include "plan/network.h"
#include "plan/run_seconds.h"
#include "plan/simulate_failures.h"
#include "plan/simulate_step.h"
#include "train/save_policy.h"

namespace lockstep::plan {
namespace {

constexpr std::uint32_t kJitterOp = 1, kStragglerOp = 2;
constexpr double kShortest = 0.5;  // no work takes less than this part of its time

// What a rank's work takes in a step, of what it takes undisturbed.
double factor_of(const Reliability& reliability, std::uint64_t seed, std::int64_t step,
                 std::int64_t rank) {
  RandomKey key{seed, static_cast<std::uint64_t>(step), static_cast<std::uint32_t>(rank),
                kJitterOp};
  double factor = 1;
  if (reliability.jitter > 0)
    factor += reliability.jitter * inverse_normal_cdf(unit_interval(key.word(0)));
  factor = std::max(kShortest, factor);
  key.op = kStragglerOp;
  if (unit_interval(key.word(0)) < reliability.straggler_chance)
    factor *= reliability.straggler_factor;
  return factor;
}

// Whether the ranks of one node may stand for all: nothing is drawn, and all have as much to do.
bool all_alike(const Job& job, const Machine& machine, const Layout& layout) {
  const Reliability& r = machine.reliability;
  const bool rounds = job.parallel.kind == parallel::Kind::kSharded && job.parallel.stage > 1;
  const std::int64_t streams = rounds && job.parallel.stage == 3
                                   ? std::max<std::int64_t>(1, job.parallel.lane_group)
                               : rounds ? std::max<std::int64_t>(1, job.threads)
                                        : 1;
  return r.jitter == 0 && r.straggler_chance == 0 && job.lanes % (layout.ranks * streams) == 0 &&
         layout.ranks % layout.ranks_per_node == 0;
}

// Samples are read ahead, two steps at most; what a node reads in a step comes from its files.
class Reader {
 public:
  Reader(const Job& job, const Machine& machine, const Layout& layout) {
    const auto nodes = static_cast<double>(layout.nodes());
    const Files& files = machine.files;
    double rate = files.read;
    if (files.total_read > 0) rate = std::min(rate, files.total_read / nodes);
    if (rate > 0) seconds_ = static_cast<double>(job.batch) * job.data.stored_bytes / nodes / rate;
  }
  // When the samples of a step are there that could begin at `time`.
  double ready(double time) {
    const double from = begun_.size() < kAhead ? 0 : begun_[begun_.size() - kAhead];
    if (!begun_.empty()) there_ = std::max(there_, from) + seconds_;  // the first were read before
    begun_.push_back(std::max(time, there_));
    return seconds_ == 0 ? time : there_;
  }

 private:
  static constexpr std::size_t kAhead = 2;
  double seconds_ = 0, there_ = 0;
  std::vector<double> begun_;
};

// With the buckets that a run on these nodes would choose.
Job with_buckets_of(const Job& job, const Machine& machine, const Layout& layout) {
  Job chosen = job;
  if (layout.nodes() == 1) return chosen;
  const Way way = between_nodes(machine, layout);
  const comm::Links links{way.latency + 2 * way.overhead, way.byte > 0 ? 1 / way.byte : 0};
  const std::int64_t bytes =
      job.parallel.bucket_bytes > 0
          ? job.parallel.bucket_bytes
          : parallel::choose_bucket_bytes(
                links, job.flat_elements * static_cast<std::int64_t>(sizeof(float)));
  chosen.buckets = joined(job.buckets, bytes);
  return chosen;
}

std::vector<std::string> hosts_of(const Layout& layout) {
  std::vector<std::string> hosts;
  for (std::int64_t rank = 0; rank < layout.ranks; ++rank)
    hosts.push_back(fmt::format("node{}", rank / layout.ranks_per_node));
  return hosts;
}

void add(Phases& sum, const RankStep& step) {
  sum.compute += step.compute;
  sum.fold += step.fold;
  sum.exposed += step.exposed;
  sum.hidden += step.hidden;
  sum.data += step.data;
  sum.other += step.other;
}

// Steps between two checkpoints.
std::int64_t checkpoint_steps(const Job& job, const Machine& machine, const Layout& layout,
                              double step, double one) {
  if (job.checkpoint_every.empty()) return 0;
  const double mtbf = job.mtbf > 0 ? job.mtbf : machine.reliability.node_mtbf;
  train::SavePolicy policy(job.checkpoint_every, mtbf / static_cast<double>(layout.nodes()));
  if (policy.measures()) policy.learn(one);
  if (policy.seconds() > 0)
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(policy.seconds() / step));
  for (std::int64_t s = 1; policy.counts() && s <= job.steps; ++s) {
    const std::int64_t epoch =
        job.steps_per_epoch > 0 && s % job.steps_per_epoch == 0 ? s / job.steps_per_epoch : 0;
    if (policy.due_by_count(s, epoch)) return s;
  }
  return 0;
}

void play_whole_run(const Job& job, const Machine& machine, const Layout& layout,
                    const SimulateOptions& options, Simulated& out) {
  const double mean = std::accumulate(out.step_seconds.begin(), out.step_seconds.end(), 0.0) /
                      static_cast<double>(out.step_seconds.size());
  out.samples_per_second = static_cast<double>(job.batch) / mean;
  const std::int64_t busy = std::min(layout.ranks, layout.ranks_per_node);
  const double one = job.checkpoint_every.empty() ? 0 : checkpoint_seconds(job, machine, layout);
  const double bandwidth = machine.device.memory_bandwidth;
  Endurance run;
  run.step = mean;
  run.steps = std::max<std::int64_t>(job.steps, 1);
  run.between = work_seconds(job, machine.device, busy).forward * job.evaluated /
                static_cast<double>(job.microbatch * layout.ranks) / static_cast<double>(run.steps);
  run.interval = out.checkpoint_steps = checkpoint_steps(job, machine, layout, mean, one);
  run.writing = one;
  // Steps wait while each rank copies its part; it is written beside them.
  if (one > 0 && bandwidth > 0)
    run.pause =
        std::min(one, 2 * job.checkpoint_bytes / static_cast<double>(layout.ranks) / bandwidth);
  run.nodes = layout.nodes();
  run.node_mtbf = options.failures ? machine.reliability.node_mtbf : 0;
  run.restart = machine.reliability.restart;
  run.seed = options.seed;
  Endured endured = endure(run);
  out.seconds = endured.seconds;
  out.goodput = endured.seconds > 0 ? endured.useful / endured.seconds : 0;
  out.failures = std::move(endured.failures);
  out.ends = endured.ends;
}

}  // namespace

Simulated simulate(const Job& job, const Machine& machine, const Layout& layout,
                   const SimulateOptions& options) {
  LOCKSTEP_CHECK(layout.ranks > 0 && layout.ranks_per_node > 0 && options.steps > 0,
                 "{} ranks, {} steps", layout.ranks, options.steps);
  if (layout.ranks > job.lanes)
    throw UserError(
        "{} ranks have nothing to do for {} lanes; ask for fewer ranks, or raise "
        "train.lanes",
        layout.ranks, job.lanes);
  const std::int64_t played =
      all_alike(job, machine, layout) ? layout.ranks_per_node : layout.ranks;
  const bool lanes = options.exchange == Exchange::kLanes;
  const Job chosen = lanes ? with_buckets_of(job, machine, layout) : job;
  const auto player = lanes ? make_lanes_player(chosen, machine, layout, played)
                            : make_ring_player(job, machine, layout, played, options);
  Reader reader(job, machine, layout);
  Simulated out;
  out.ranks.resize(played);
  std::vector<double> ends(played, 0.0);
  double before = 0;
  StepPlay last;
  double began = 0;
  const auto begin_step = [&](std::int64_t number) {
    StepPlay step;
    step.ranks.resize(played);
    const double from = *std::ranges::max_element(ends);
    const double ready = reader.ready(from);
    for (std::int64_t rank = 0; rank < played; ++rank) {
      RankStep& mine = step.ranks[rank];
      mine.start = std::max(ends[rank], ready);
      mine.data = mine.start - ends[rank];
      mine.factor = factor_of(machine.reliability, options.seed, number, rank);
    }
    return step;
  };
  for (std::int64_t number = 0; number < options.steps; ++number) {
    StepPlay step = begin_step(number);
    const bool shows = number + 1 == options.steps;
    if (shows) {
      last = step;
      began = *std::ranges::min_element(ends);
    }
    player->play(step, number);
    auto& by_rank = out.steps.emplace_back(played);
    for (std::int64_t rank = 0; rank < played; ++rank) {
      ends[rank] = step.ranks[rank].end;
      add(by_rank[rank], step.ranks[rank]);
      add(out.ranks[rank], step.ranks[rank]);
    }
    const double now = *std::ranges::max_element(ends);
    out.step_seconds.push_back(now - before);
    before = now;
  }
  const auto steps = static_cast<double>(options.steps);
  int slowest = 0;
  for (std::int64_t rank = 0; rank < played; ++rank) {
    Phases& p = out.ranks[rank];
    for (double* phase : {&p.compute, &p.fold, &p.exposed, &p.hidden, &p.data, &p.other})
      *phase /= steps;
    if (p.compute > out.ranks[slowest].compute) slowest = static_cast<int>(rank);
    out.bytes_sent.push_back(player->bytes_sent(rank));
    out.bytes_read.push_back(player->bytes_read(rank));
  }
  // The last step once more, now with its events.
  std::vector<std::int64_t> kept;
  for (const int rank : train::profiled_positions(static_cast<int>(played), slowest))
    kept.push_back(rank);
  Timeline timeline(job, kept);
  last.timeline = &timeline;
  player->play(last, options.steps - 1);
  out.rings = timeline.rings(layout.ranks, options.steps, began, hosts_of(layout));
  for (std::int64_t rank = played; rank < layout.ranks; ++rank) {
    out.ranks.push_back(out.ranks[rank % played]);
    out.bytes_sent.push_back(out.bytes_sent[rank % played]);
    out.bytes_read.push_back(out.bytes_read[rank % played]);
  }
  play_whole_run(job, machine, layout, options, out);
  return out;
}

}  // namespace lockstep::plan
