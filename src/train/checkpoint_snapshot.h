// The blocks of a state that a rank saves, as they were at one step: copied, so that training can
// go on while they are written. Knows no file and no peer.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/device/device.h"
#include "train/checkpoint_blocks.h"

namespace lockstep::train {

class CheckpointSnapshot {
 public:
  // layout: as every state to be taken; its numbers are not read. hold: takes memory for copies of
  // what is not a copy already; else take() only notes where the numbers are.
  CheckpointSnapshot(const State& layout, int position, int ranks, bool hold);
  std::uint64_t bytes() const { return memory_.bytes(); }
  void take(const State& state);
  const std::vector<HeldSpan>& spans() const { return spans_; }

 private:
  const int position_, ranks_;
  std::vector<HeldSpan> spans_;
  Buffer memory_;
};

}  // namespace lockstep::train
