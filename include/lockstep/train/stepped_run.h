// A run's steps alone, from its first values on, on its own data: no evaluation, no checkpoint, no
// log. For what measures steps, or compares what they come to.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"
#include "lockstep/train/run.h"

namespace lockstep::train {

// Of this rank, in seconds since the first step. compute is what the others leave of `total`.
struct StepTimes {
  double total = 0, compute = 0, data = 0, exposed = 0, hidden = 0, fold = 0;
};

class SteppedRun {
 public:
  // Collective. The run goes on for as many steps as are asked for; its folder is not looked at.
  SteppedRun(comm::Communicator& communicator, const Run& run);
  ~SteppedRun();
  SteppedRun(const SteppedRun&) = delete;
  SteppedRun& operator=(const SteppedRun&) = delete;

  // All collective. A stretch: returns how many steps that was.
  std::int64_t advance();
  void settle();  // waits for the device
  Hash128 digest();
  StepTimes times() const;

  std::int64_t batch() const;
  std::int64_t sequence() const;  // tokens of a sample; 0: no text
  double flops() const;           // of a step, of all lanes
  bool on_device() const;         // computes on one with memory of its own
  bool in_bf16() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::train
