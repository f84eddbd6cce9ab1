// Seconds of a rank's own work: an op, an update, adding leaves. A roofline by kernel: the rate
// that was measured nearest to its size, never above what the memory gives.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"

namespace lockstep::plan {

struct OpSeconds {
  double forward = 0, backward = 0;
};
// Of one microbatch, by one thread (cpu) or device, while `busy` ranks of the node work.
OpSeconds op_seconds(const JobOp& op, const std::string& precision, const Device& device,
                     std::int64_t busy);

struct WorkSeconds {
  double forward = 0, backward = 0;  // of one lane's microbatch
  double update = 0;                 // of all parameters by one rank: what a shard takes a part of
  double add = 0;                    // seconds a byte of adding two leaves
};
WorkSeconds work_seconds(const Job& job, const Device& device, std::int64_t busy);

// Whether the rates of a kernel are in flop/s; those of all others are in bytes/s.
bool counts_flops(const std::string& kernel);
// Whether such a kernel is held up by the memory of the node, which its ranks share: what is added,
// updated or passed over and does not fit a core's caches.
bool waits_for_memory(const std::string& kernel, const std::vector<double>& size);
// That an update moves for each parameter: it, its gradient and its state, read and written.
double update_bytes(const optim::Options& optimizer);

// Rates between measured sizes: log-linear between neighbours, the nearest beyond. 0 where the
// kernel was not measured: then the roofline of the device is all that is known.
double rate_at(const Device& device, const std::string& kernel, const std::string& precision,
               const std::vector<double>& size, bool backward);

}  // namespace lockstep::plan
