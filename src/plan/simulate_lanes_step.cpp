// How a step begins and ends for all ranks: what they compute, the small message, the update and
// what sharded parameters cost after it.
#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "plan/network.h"
#include "plan/simulate_lanes.h"

namespace lockstep::plan {

using events::Kind;
using Track = Timeline::Track;

LanesPlayer::LanesPlayer(const Job& job, const Machine& machine, const Layout& layout,
                         std::int64_t played)
    : job_(job),
      machine_(machine),
      plan_(job, layout, played),
      in_node_(machine.levels.empty() ? Link{0, 0, 0, 1e30} : link_in_node(machine)),
      flag_(layout.ranks_per_node > 1 && layout.ranks > 1 && !machine.levels.empty()
                ? flag_seconds(machine)
                : 0),
      beside_(machine.device.kind != "cpu"),
      every_(job.parallel.kind == parallel::Kind::kLocal
                 ? std::max<std::int64_t>(1, job.parallel.every)
                 : 1) {
  if (plan_.several) between_ = link_between_nodes(machine, layout);
  parallel::Options options = job.parallel;
  options.lanes = job.lanes;
  options.streams = static_cast<int>(plan_.streams);
  work_ = rank_work(job, machine, layout, options, traffic_of(job, layout, options, job.buckets),
                    job.buckets);
  const double alone = work_seconds(job, machine.device, busy()).forward;
  if (alone > 0) slower_ = work_.forward / alone;
  make_schedules();
}

// Ranks that share a core, and threads of a rank, work at the same time.
std::int64_t LanesPlayer::busy() const {
  const bool cpu = machine_.device.kind == "cpu";
  return plan_.locals(0) * (cpu ? std::max<std::int64_t>(1, job_.threads) : 1);
}

void LanesPlayer::make_schedules() {
  ScheduleOptions options{
      .rounds = plan_.rounds, .together = plan_.together, .slower = slower_, .gather = {}};
  options.before =
      work_.pass / static_cast<double>(job_.accumulate) - work_.forward - work_.backward;
  if (plan_.rounds && job_.parallel.stage == 3 && plan_.several) {
    const Way way = between_nodes(machine_, plan_.layout);
    const auto nodes = static_cast<double>(plan_.layout.nodes());
    options.gather = [this, way, nodes](double bytes) {
      const double out = bytes / static_cast<double>(plan_.layout.ranks) * (nodes - 1);
      gathered_ += out;
      return way.occupied(nodes - 1, out) + way.processor(1) + way.flight();
    };
  }
  for (std::int64_t rank = 0; rank < plan_.ranks; ++rank) {
    options.lanes = plan_.stream_lanes(rank);
    if (schedule_of_lanes_.contains(options.lanes)) continue;
    gathered_ = 0;
    schedule_of_lanes_.emplace(options.lanes,
                               make_schedule(job_, machine_.device, busy(), options));
    gathered_bytes_ = std::max(gathered_bytes_, gathered_);
  }
  for (std::int64_t rank = 0; rank < plan_.ranks; ++rank)
    schedules_.push_back(&schedule_of_lanes_.at(plan_.stream_lanes(rank)));
}

void LanesPlayer::begin(StepPlay& step) {
  step_ = &step;
  ticks_ = plan_.ticks();
  sequence_ = 0;
  const std::int64_t ranks = plan_.ranks;
  actors_.assign(ranks, {});
  const auto fill = [&](std::vector<Gathered>& rows, std::int64_t count) {
    rows.assign(count * ticks_, {});
  };
  fill(ready_, plan_.nodes);
  fill(folded_, plan_.nodes);
  fill(back_, plan_.nodes);
  if (!plan_.several) return;
  network_ = std::make_unique<Network>(machine_, plan_.layout, plan_.nodes);
  const std::int64_t rows = 2 * plan_.layout.ranks_per_node;
  fill(pieces_, rows);
  fill(results_, rows);
  fill(owned_, ranks);
  pieces_here_.assign(ranks * ticks_, 0);
  results_here_.assign(ranks * ticks_, 0);
  senders_.assign(rows, 0);
  for (std::int64_t rank = 0; rank < ranks; ++rank)
    ++senders_[part_row(node_of(rank), local_of(rank))];
  // How many owners have something of a part may differ by tick: counted down in results_.
  owners_.assign(rows * ticks_, 0);
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    for (std::int64_t tick = 0; tick < ticks_; ++tick) {
      for (const std::int64_t node : {std::int64_t{0}, plan_.nodes - 1}) {
        const auto span = plan_.parts_of(rank, tick, plan_.locals(node));
        if (node > 0 && !is_short(node)) continue;
        for (std::int64_t l = span.first; l <= span.last; ++l)
          ++owners_[part_row(node, l) * ticks_ + tick];
        if (plan_.nodes == 1) break;
      }
    }
  }
}

double LanesPlayer::flat_bytes() const {
  double bytes = 0;
  for (const double bucket : plan_.bucket_bytes) bytes += bucket;
  return bytes;
}

// On a device the sums that peers hold are read by the update.
double LanesPlayer::update_seconds(const RankStep& rank) const {
  const bool sharded = job_.parallel.kind == parallel::Kind::kSharded;
  const auto locals = static_cast<double>(plan_.locals(0));
  const double read =
      beside_ && !sharded ? flat_bytes() * (locals - 1) / locals / in_node_.bandwidth : 0;
  return work_.update * rank.factor + read;
}

// A small message of every rank to every other: MPI's nonblocking gathering sends it to each.
double LanesPlayer::to_all_seconds(double bytes) const {
  const Way way = between_nodes(machine_, plan_.layout);
  const auto others = static_cast<double>(plan_.layout.ranks - 1);
  return way.occupied(others, bytes) + way.processor(1) + way.flight();
}

// The small message that ends a step, then the update.
void LanesPlayer::end_step(StepPlay& step) {
  double here = 0;  // all records
  for (const Actor& actor : actors_) here = std::max(here, actor.computing_ends);
  here += plan_.several
              ? to_all_seconds(static_cast<double>(plan_.lanes) * sizeof(parallel::StepRecord))
              : flag_;
  const bool sharded = job_.parallel.kind == parallel::Kind::kSharded;
  const double flat = flat_bytes();
  for (std::int64_t rank = 0; rank < plan_.ranks; ++rank) {
    RankStep& mine = step.ranks[rank];
    const Actor& actor = actors_[rank];
    LOCKSTEP_CHECK(actor.finished >= 0, "simulated rank {} waits for good", rank);
    double end = std::max(actor.finished, here);
    if (sharded && plan_.several)  // the blocks' sums of squares
      end += to_all_seconds(flat / (sizeof(float) * 4096) * sizeof(double));
    if (beside_) {
      // Between the last op and the end it waited, but for what it added itself.
      mine.exposed += std::max(0.0, end - actor.computing_ends - mine.fold - mine.other);
    } else {
      mine.exposed += end - actor.finished;
    }
    const double seconds = update_seconds(mine);
    mine.compute += seconds;
    if (step.timeline != nullptr) {
      step.timeline->add(rank, Track::kCompute, Kind::kWait, "the step's end",
                         beside_ ? actor.computing_ends : actor.finished, end);
      step.timeline->add(rank, Track::kCompute, Kind::kUpdate, "update", end, end + seconds);
    }
    mine.end = end + seconds;
  }
  if (sharded) bring_parameters();
}

// Stages 1 and 2: each shard crosses once to each other node. On a node, and at stage 3, a flag.
void LanesPlayer::bring_parameters() {
  double last = 0;
  const double flat = flat_bytes();
  const double others = static_cast<double>(plan_.layout.nodes() - 1);
  for (std::int64_t rank = 0; rank < plan_.ranks; ++rank) {
    double there = step_->ranks[rank].end + flag_;
    if (plan_.several && job_.parallel.stage < 3) {
      const double shard = flat / static_cast<double>(plan_.layout.ranks);
      const auto messages = others * static_cast<double>(plan_.buckets);
      there = network_->send(rank, step_->ranks[rank].end, messages, shard * others).last;
    }
    last = std::max(last, there);
  }
  for (std::int64_t rank = 0; rank < plan_.ranks; ++rank) {
    RankStep& mine = step_->ranks[rank];
    if (step_->timeline != nullptr)
      step_->timeline->add(rank, Track::kCompute, Kind::kWait, "parameters", mine.end, last);
    mine.exposed += std::max(0.0, last - mine.end);
    mine.end = std::max(mine.end, last);
  }
}

// A step of its own: nobody waits for anybody.
void LanesPlayer::alone(StepPlay& step) {
  for (std::int64_t rank = 0; rank < plan_.ranks; ++rank) {
    RankStep& mine = step.ranks[rank];
    const Schedule& schedule = *schedules_[rank];
    const double computing = schedule.seconds * mine.factor, update = work_.update * mine.factor;
    mine.fold = plan_.merged_lanes(rank) * flat_bytes() * work_.add * mine.factor;
    if (step.timeline != nullptr)
      step.timeline->compute(rank, schedule, 0, schedule.seconds, mine.start,
                             mine.start + computing);
    mine.compute = computing + update;
    mine.end = mine.start + mine.compute + mine.fold;
  }
}

double LanesPlayer::bytes_sent(std::int64_t rank) const {
  if (!plan_.several) return 0;
  double bytes = gathered_bytes_;
  for (std::int64_t tick = 0; tick < plan_.ticks(); ++tick) {
    bytes += plan_.part(node_of(rank), tick).bytes;
    if (plan_.owns(rank, tick)) bytes += plan_.shard(tick).bytes_out;
  }
  if (job_.parallel.kind == parallel::Kind::kSharded && job_.parallel.stage < 3)
    bytes += flat_bytes() / static_cast<double>(plan_.layout.ranks) *
             static_cast<double>(plan_.layout.nodes() - 1);
  return bytes / static_cast<double>(every_);
}

double LanesPlayer::bytes_read(std::int64_t rank) const {
  double bytes = 0;
  for (std::int64_t tick = 0; tick < plan_.ticks(); ++tick)
    bytes += plan_.part(node_of(rank), tick).read;
  return bytes / static_cast<double>(every_);
}

std::unique_ptr<StepPlayer> make_lanes_player(const Job& job, const Machine& machine,
                                              const Layout& layout, std::int64_t played) {
  return std::make_unique<LanesPlayer>(job, machine, layout, played);
}

}  // namespace lockstep::plan
