#include "lockstep/plan/predict.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "plan/network.h"
#include "plan/overlap.h"
#include "plan/run_seconds.h"

namespace lockstep::plan {
namespace {

// The mean of the largest of n standard normal numbers, nearly (Blom 1958).
double largest_of(double n) {
  if (n <= 1) return 0;
  const double wanted = (n - 0.375) / (n + 0.25);
  double low = 0, high = 10;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < wanted ? low : high) = middle;
  }
  return low;
}

// Bytes of buckets, as a run on these nodes would choose them.
std::int64_t bucket_bytes(const Job& job, const Way& way, const parallel::Options& parallel) {
  if (parallel.bucket_bytes > 0) return parallel.bucket_bytes;
  const comm::Links links{way.latency + 2 * way.overhead, way.byte > 0 ? 1 / way.byte : 0};
  return parallel::choose_bucket_bytes(links,
                                       job.flat_elements * static_cast<std::int64_t>(sizeof(float)));
}

// All that a prediction goes by.
struct Plan {
  const Job& job;
  const Machine& machine;
  const Layout layout;
  parallel::Options parallel;
  Way between;
  std::vector<parallel::Bucket> buckets;
  Traffic traffic;
  RankWork work;

  Plan(const Job& job_, const Machine& machine_, const Layout& layout_,
       const parallel::Options& parallel_)
      : job(job_), machine(machine_), layout(layout_), parallel(parallel_) {
    parallel.lanes = job.lanes;
    const bool held = parallel.kind == parallel::Kind::kSharded && parallel.stage == 3;
    parallel.streams =
        static_cast<int>(held ? std::min(parallel.lane_group, job.lanes) : job.threads);
    between = between_nodes(machine, layout);
    if (layout.nodes() > 1) parallel.bucket_bytes = bucket_bytes(job, between, parallel);
    buckets = layout.nodes() > 1 ? joined(job.buckets, parallel.bucket_bytes) : job.buckets;
    traffic = traffic_of(job, layout, parallel, buckets);
    work = rank_work(job, machine, layout, parallel, traffic, buckets);
  }
  double locals() const {
    return static_cast<double>(std::min(layout.ranks, layout.ranks_per_node));
  }
};

double fold_seconds(const Plan& plan) {
  double added = 0, squared = 0;
  for (const BucketTraffic& b : plan.traffic.buckets) {
    added += b.part + b.shard;
    squared += b.square;
  }
  const double rounds = static_cast<double>(plan.traffic.rounds) / plan.traffic.every;
  return plan.traffic.merged * plan.work.add +
         rounds * (added * plan.work.add + squared * plan.work.square);
}

// What a small message of every rank to every other takes: MPI's nonblocking gathering sends it to
// each of them (Open MPI's libnbc is linear).
double to_all_seconds(const Plan& plan, double bytes) {
  if (bytes == 0) return 0;
  const Way& way = plan.between;
  const double others = static_cast<double>(plan.layout.ranks) - 1;
  return way.occupied(others, bytes) + way.processor(1) + way.flight();
}

// Waiting that nothing lies beside.
void add_waits(const Plan& plan, double fold, Phases& step) {
  const Traffic& traffic = plan.traffic;
  const Way& way = plan.between;
  if (plan.locals() > 1)  // the last bucket is complete, its parts are summed, the records are there
    step.exposed += 3 * flag_seconds(plan.machine) / traffic.every;
  const Overlap gradients = gradient_overlap(traffic, plan.work, way, fold);
  const double group = static_cast<double>(plan.parallel.streams);
  const double passes = static_cast<double>(traffic.lanes * plan.job.accumulate) / group;
  const Overlap gathering =
      gathering_overlap(traffic, plan.work, way, group, std::max(1.0, passes));
  step.exposed += gradients.exposed + gathering.exposed;
  step.hidden += gradients.hidden + gathering.hidden;
  step.exposed += (to_all_seconds(plan, traffic.records) + to_all_seconds(plan, traffic.values)) /
                  traffic.every;
  if (traffic.parameters.count > 0)
    step.exposed += way.occupied(traffic.parameters.count, traffic.parameters.bytes) + way.flight();
  step.exposed += plan.machine.reliability.jitter * step.compute *
                  largest_of(static_cast<double>(plan.layout.ranks));
}

double message_work(const Plan& plan) {
  double messages = 0;
  for (const BucketTraffic& b : plan.traffic.buckets) messages += b.pieces.count + b.results.count;
  messages *= static_cast<double>(plan.traffic.rounds);
  messages += plan.traffic.parameters.count;
  return plan.between.processor(messages) / plan.traffic.every;
}

// Read in the background: what takes longer than the step shows.
double data_seconds(const Plan& plan, double beside) {
  const Files& files = plan.machine.files;
  if (files.read <= 0) return 0;
  const auto nodes = static_cast<double>(plan.layout.nodes());
  const double rate =
      files.total_read > 0 ? std::min(files.read, files.total_read / nodes) : files.read;
  const double samples = static_cast<double>(plan.traffic.lanes * plan.job.accumulate *
                                             plan.job.microbatch) *
                         plan.locals();
  return std::max(0.0, samples * plan.job.data.stored_bytes / rate - beside);
}

Phases phases_of(const Plan& plan) {
  Phases step;
  step.compute = plan.work.lanes + plan.work.update + message_work(plan);
  step.fold = fold_seconds(plan);
  add_waits(plan, step.fold, step);
  step.data = data_seconds(plan, step.total());
  return step;
}

// What most of an op's time is, over all ops.
Bottleneck of_compute(const Plan& plan) {
  const Device& device = plan.machine.device;
  const double peak =
      plan.job.precision == "bf16" && device.bf16 > 0 ? device.bf16 : device.fp32;
  double arithmetic = 0, memory = 0, overhead = 0;
  for (const JobOp& op : plan.job.ops) {
    if (peak > 0) arithmetic += (op.forward_flops + op.backward_flops) / peak;
    if (device.memory_bandwidth > 0 && !op.fused)
      memory += (op.forward_bytes + op.backward_bytes) / device.memory_bandwidth;
    overhead += 2 * device.overhead;
  }
  const double most = std::max({arithmetic, memory, overhead});
  if (most == arithmetic) return Bottleneck::kCompute;
  return most == memory ? Bottleneck::kMemoryBandwidth : Bottleneck::kOverhead;
}

Bottleneck bottleneck_of(const Plan& plan, const Phases& step) {
  const double balanced = static_cast<double>(plan.job.lanes) /
                          static_cast<double>(plan.layout.ranks * plan.traffic.lanes);
  const double idle = plan.work.lanes * (1 - balanced);
  const double most =
      std::max({step.compute - idle, idle, step.fold, step.exposed, step.data});
  if (most == step.data && most > 0) return Bottleneck::kData;
  if (most == step.exposed) return Bottleneck::kNetwork;
  if (most == step.fold) return Bottleneck::kFold;
  if (most == idle) return Bottleneck::kBalance;
  return of_compute(plan);
}

void add_memory(const Plan& plan, Prediction& p) {
  if (!plan.job.memory) return;
  p.memory = plan.job.memory(plan.layout, plan.parallel);
  const bool apart = plan.job.device != "cpu";
  for (const nn::LedgerRow& row : p.memory)
    (apart && !row.on_host ? p.rank_memory : p.host_memory) += static_cast<double>(row.bytes);
  if (!apart) p.rank_memory = p.host_memory;
  p.node_memory = p.host_memory * plan.locals();
  const double room = plan.machine.device.memory;
  p.fits = room <= 0 || (apart ? p.rank_memory : p.node_memory) <= room;
}

}  // namespace

Prediction predict(const Job& job, const Machine& machine, const Layout& layout,
                   const parallel::Options& parallel) {
  LOCKSTEP_CHECK(layout.ranks > 0 && layout.ranks_per_node > 0, "{} ranks", layout.ranks);
  const Plan plan(job, machine, layout, parallel);
  Prediction p;
  p.layout = layout;
  p.parallel = plan.parallel;
  p.lanes = job.lanes;
  p.batch = job.batch;
  p.step = phases_of(plan);
  p.samples_per_second = static_cast<double>(job.batch) / p.step.total();
  p.efficiency = 1;
  if (layout.ranks > 1) {
    const Plan alone(job, machine, {1, 1}, parallel);
    p.efficiency = phases_of(alone).total() / p.step.total() / static_cast<double>(layout.ranks);
  }
  p.bytes_sent = plan.traffic.sent();
  p.checkpoint_seconds = checkpoint_seconds(job, machine, layout);
  p.checkpoint_interval = checkpoint_interval(job, layout, p.checkpoint_seconds);
  p.seconds = run_seconds(job, machine, layout, plan.work, p.step.total());
  p.bottleneck = bottleneck_of(plan, p.step);
  add_memory(plan, p);
  return p;
}

std::vector<Prediction> scaling(const Job& job, const Machine& machine, Scaling kind,
                                std::int64_t most_ranks, std::int64_t ranks_per_node,
                                const parallel::Options& parallel) {
  std::vector<Prediction> series;
  const bool strong = kind == Scaling::kStrong;
  for (std::int64_t ranks = 1; ranks <= (strong ? std::min(most_ranks, job.lanes) : most_ranks);
       ranks *= 2) {
    const Layout layout{ranks, std::min(ranks, ranks_per_node)};
    Prediction p = strong ? predict(job, machine, layout, parallel)
                          : predict(with_lanes(job, ranks * std::max<std::int64_t>(
                                                                1, job.threads)),
                                    machine, layout, parallel);
    const Prediction& first = series.empty() ? p : series.front();
    p.efficiency =
        p.samples_per_second / first.samples_per_second / static_cast<double>(ranks);
    series.push_back(std::move(p));
  }
  return series;
}

}  // namespace lockstep::plan
