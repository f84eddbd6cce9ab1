#include "lockstep/plan/cost.h"

#include <algorithm>
#include <cmath>

#include "plan/rate_table.h"

namespace lockstep::plan {
namespace {

// Between the numbers of ranks that were measured: in proportion. Beyond: as at the last.
Contention contention_at(const Device& device, std::int64_t busy) {
  Contention below;
  for (const Contention& c : device.contention) {
    if (c.ranks > busy && busy > below.ranks) {
      const double part =
          static_cast<double>(busy - below.ranks) / static_cast<double>(c.ranks - below.ranks);
      return {busy, below.compute + part * (c.compute - below.compute),
              below.memory + part * (c.memory - below.memory)};
    }
    if (c.ranks <= busy) below = c;
  }
  return below;
}

double peak_of(const Device& device, const std::string& precision) {
  return precision == "bf16" && device.bf16 > 0 ? device.bf16 : device.fp32;
}

struct Work {
  double flops = 0, bytes = 0;
};

// What is known without a measurement of the kernel: what the arithmetic and the memory give.
double roofline(const Work& work, const std::string& precision, const Device& device,
                const Contention& kept) {
  const double peak = peak_of(device, precision) * kept.compute;
  const double bandwidth = device.memory_bandwidth * kept.memory;
  return std::max(peak > 0 ? work.flops / peak : 0, bandwidth > 0 ? work.bytes / bandwidth : 0) +
         device.overhead;
}

struct Kernel {
  std::string name, precision;
  std::vector<double> size;
  bool in_bytes, backward, fused;
};

double seconds_of(const Kernel& kernel, const Work& work, const Device& device,
                  const Contention& kept) {
  const double counted = kernel.in_bytes ? work.bytes : work.flops;
  if (counted == 0) return 0;
  const double rate = rate_at(device, kernel.name, kernel.precision, kernel.size, kernel.backward);
  // What was fused moves nothing of its own.
  if (rate <= 0) return kernel.fused ? 0 : roofline(work, kernel.precision, device, kept);
  return counted /
         (rate * (waits_for_memory(kernel.name, kernel.size) ? kept.memory : kept.compute));
}

// What a step goes through between two updates, about: what a lane does, of which forward and
// backward mostly touch the same, and gradients, their sums and packed weights.
double between_updates(const Job& job) {
  const auto passes = static_cast<double>(std::max<std::int64_t>(1, job.lanes * job.accumulate));
  return job.bytes() / (2 * passes) + 4 * sizeof(float) * static_cast<double>(job.parameters);
}

double pack_seconds(const JobOp& op, double between, const std::string& precision,
                    const Device& device, const Contention& kept) {
  const std::string name = op.kind.starts_with("convolution") ? "convolution_pack" : "linear_pack";
  return seconds_of({name, precision, {op.packed_bytes, between}, true, false, false},
                    {0, op.packed_bytes}, device, kept);
}

double mean_bucket_bytes(const Job& job) {
  if (job.buckets.empty()) return 0;
  return sizeof(float) * static_cast<double>(job.flat_elements) /
         static_cast<double>(job.buckets.size());
}

}  // namespace

bool counts_flops(const std::string& kernel) {
  for (const char* kind : {"linear", "linear_input", "convolution", "convolution_input",
                           "attention", "linear_cross_entropy"}) {
    if (kernel == kind) return true;
  }
  return false;
}

bool waits_for_memory(const std::string& kernel, const std::vector<double>& size) {
  constexpr double kCacheElements = 1 << 19;  // 2 MiB of one tensor, of which an op has a few
  return !counts_flops(kernel) && !size.empty() && size.front() > kCacheElements;
}

double update_bytes(const optim::Options& optimizer) {
  const auto state = static_cast<double>(optim::state_names(optimizer).size());
  return sizeof(float) * (3 + 2 * state);
}

double rate_at(const Device& device, const std::string& kernel, const std::string& precision,
               const std::vector<double>& size, bool backward) {
  const RateTable table(device, kernel, precision);
  return table.at(size, backward);
}

OpSeconds op_seconds(const JobOp& op, const std::string& precision, const Device& device,
                     std::int64_t busy) {
  const Contention kept = contention_at(device, busy);
  const bool in_bytes = !counts_flops(op.kind);
  const auto of = [&](const Work& work, bool backward) {
    return seconds_of({op.kind, precision, op.size, in_bytes, backward, op.fused}, work, device,
                      kept);
  };
  OpSeconds seconds;
  seconds.forward = of({op.forward_flops, op.forward_bytes}, false);
  seconds.backward = of({op.backward_flops, op.backward_bytes}, true);
  if (op.again) seconds.backward += seconds.forward;
  return seconds;
}

WorkSeconds work_seconds(const Job& job, const Device& device, std::int64_t busy) {
  const Contention kept = contention_at(device, busy);
  const double between = between_updates(job);
  WorkSeconds work;
  for (const JobOp& op : job.ops) {
    const OpSeconds seconds = op_seconds(op, job.precision, device, busy);
    work.forward += seconds.forward;
    work.backward += seconds.backward;
    if (op.packed_bytes > 0) work.update += pack_seconds(op, between, job.precision, device, kept);
  }
  const auto parameters = static_cast<double>(job.parameters);
  const std::string optimizer(optim::name_of(job.optimizer.kind));
  work.update += seconds_of({optimizer, "fp32", {parameters, between}, true, false, false},
                            {0, update_bytes(job.optimizer) * parameters}, device, kept);
  const double fold = rate_at(device, "fold", "fp32", {mean_bucket_bytes(job)}, false);
  // Two are read and one is written.
  work.add = fold > 0                      ? 1 / (fold * kept.memory)
             : device.memory_bandwidth > 0 ? 3 / (device.memory_bandwidth * kept.memory)
                                           : 0;
  return work;
}

}  // namespace lockstep::plan
