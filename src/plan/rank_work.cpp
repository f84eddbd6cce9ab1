#include "plan/rank_work.h"

#include <algorithm>

namespace lockstep::plan {
namespace {

// Squares read what additions read twice and write once.
constexpr double kSquareOfAdd = 1.0 / 3;

// What ranks lose that have less than a core for each thread.
double crowding(const Device& device, std::int64_t threads) {
  if (device.kind != "cpu" || device.per_node == 0) return 1;
  return std::max(1.0, static_cast<double>(threads) / static_cast<double>(device.per_node));
}

// Samples are read where they were decoded and written as numbers.
double gather_seconds(const Job& job, const Device& device) {
  if (device.kind != "cpu" || device.memory_bandwidth <= 0) return 0;
  return 2 * job.data.decoded_bytes * static_cast<double>(job.microbatch) / device.memory_bandwidth;
}

bool touches(const JobOp& op, const parallel::Bucket& bucket) {
  return op.first < bucket.end && bucket.first < op.end;
}

}  // namespace

std::vector<parallel::Bucket> joined(const std::vector<parallel::Bucket>& buckets,
                                     std::int64_t wanted) {
  std::vector<parallel::Bucket> out;
  for (const parallel::Bucket& bucket : buckets) {
    const auto whole = [&](const parallel::Bucket& last) {
      return (last.range.end - bucket.range.begin) * static_cast<std::int64_t>(sizeof(float));
    };
    if (out.empty() || whole(out.back()) > wanted) {
      out.push_back(bucket);
    } else {  // later buckets lie before earlier ones
      out.back().first = bucket.first;
      out.back().range.begin = bucket.range.begin;
    }
  }
  return out;
}

constexpr const char* kPacksHalves = "linear";

RankWork rank_work(const Job& job, const Machine& machine, const Layout& layout,
                   const parallel::Options& parallel, const Traffic& traffic,
                   const std::vector<parallel::Bucket>& buckets) {
  const Device& device = machine.device;
  const bool cpu = device.kind == "cpu";
  const std::int64_t streams = cpu ? std::max<std::int64_t>(1, job.threads) : 1;
  const std::int64_t busy = std::min(layout.ranks, layout.ranks_per_node) * streams;
  const double slower = crowding(device, busy);
  const bool held = parallel.kind == parallel::Kind::kSharded && parallel.stage == 3;

  Job unpacked = job;
  for (JobOp& op : unpacked.ops) op.packed_bytes = 0;
  const WorkSeconds all = work_seconds(job, device, busy);
  const WorkSeconds bare = work_seconds(unpacked, device, busy);
  RankWork work;
  work.add = all.add * slower;
  work.square = work.add * kSquareOfAdd;
  work.forward = all.forward * slower;
  work.backward = all.backward * slower;

  std::vector<double> done(job.ops.size());  // seconds of backward until the op is done
  double seconds = 0;
  for (std::size_t i = job.ops.size(); i-- > 0;) {
    seconds += op_seconds(job.ops[i], job.precision, device, busy).backward * slower;
    done[i] = seconds;
  }
  for (const parallel::Bucket& bucket : buckets) {
    double ready = 0;
    for (std::size_t i = 0; i < job.ops.size(); ++i)
      if (touches(job.ops[i], bucket)) ready = std::max(ready, done[i]);
    work.ready.push_back(ready);
  }

  const auto turns = static_cast<double>((traffic.lanes + streams - 1) / streams);
  work.pass = static_cast<double>(job.accumulate) *
              (work.forward + work.backward + slower * gather_seconds(job, device));
  work.lanes = turns * work.pass;
  const double packing = (all.update - bare.update) * slower;
  const bool sharded = parallel.kind == parallel::Kind::kSharded;
  const double part = sharded ? 1 / static_cast<double>(layout.ranks) : 1;
  work.update = static_cast<double>(traffic.updates) * (bare.update * slower * part + packing);
  if (!held) return work;
  // Forward and backward of each group of lanes pack what they use: all that an op has, or, of
  // "linear", the half that is theirs (Op::pack_for).
  for (JobOp& op : unpacked.ops)
    if (op.kind == kPacksHalves) op.packed_bytes = job.ops[&op - unpacked.ops.data()].packed_bytes;
  const double halves = (work_seconds(unpacked, device, busy).update - bare.update) * slower;
  const auto group = static_cast<double>(std::max<std::int64_t>(1, parallel.streams));
  const double passes = std::max(
      1.0, static_cast<double>(traffic.lanes) / group * static_cast<double>(job.accumulate));
  work.update += passes * (halves + 2 * (packing - halves)) - packing;
  double elements = 0;
  for (const JobOp& op : job.ops) {
    const bool has = op.first != op.end;
    if (!has && work.use_seconds.empty()) continue;
    const OpSeconds of_op = op_seconds(op, job.precision, device, busy);
    if (has) {
      work.use_seconds.push_back(0);
      work.use_part.push_back(op.packed_bytes);
      elements += op.packed_bytes;
    }
    work.use_seconds.back() += (of_op.forward + of_op.backward) * slower;
  }
  for (double& bytes : work.use_part)
    bytes = elements > 0 ? bytes / elements : 1 / static_cast<double>(work.use_part.size());
  return work;
}

}  // namespace lockstep::plan
