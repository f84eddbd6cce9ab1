// Training steps to be measured: a run's own, on its data, or a preset's on numbers in memory.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bench/rank_device.h"
#include "lockstep/bench/bench.h"
#include "lockstep/train/stepped_run.h"

namespace lockstep::bench {

class Stepper {
 public:
  virtual ~Stepper() = default;
  virtual std::int64_t advance() = 0;  // some steps: how many
  virtual void settle() = 0;           // waits for the device
  virtual Hash128 digest() = 0;
  virtual train::StepTimes times() const = 0;
  virtual double flops() const = 0;           // of a step, of all ranks
  virtual std::int64_t sequence() const = 0;  // tokens of a sample; 0: no text
};

struct StepSubject {
  Facts facts;
  std::int64_t lanes = 1, batch = 1;
  int threads = 1;  // of a rank that compute
  ops::Precision precision = ops::Precision::kFp32;
  std::string device;
  // Collective over the communicator that is given; batch: of all lanes.
  std::function<std::unique_ptr<Stepper>(comm::Communicator& communicator, std::int64_t lanes,
                                         std::int64_t batch)>
      make;
};
StepSubject step_subject(const Request& request);

// The digest after a few steps from the first values on. Collective.
Hash128 digest_after_steps(Stepper& stepper);
// Seconds of a step, the slowest rank's.
Timing measure_steps(comm::Communicator& communicator, Stepper& stepper, double seconds);

}  // namespace lockstep::bench
