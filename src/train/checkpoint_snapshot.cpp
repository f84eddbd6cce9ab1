#include "train/checkpoint_snapshot.h"

#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

std::size_t bytes_of(const BlockSpan& span) {
  return static_cast<std::size_t>(span.elements) * sizeof(float);
}

}  // namespace

CheckpointSnapshot::CheckpointSnapshot(const State& layout, int position, int ranks, bool hold)
    : position_(position), ranks_(ranks) {
  if (!hold) return;
  std::size_t bytes = 0;
  for (const HeldSpan& held : held_spans(layout, position, ranks)) {
    if (!layout.tensors[held.span.tensor].copied) bytes += bytes_of(held.span);
  }
  memory_ = cpu_device().allocate(bytes, "the checkpoint snapshot");
}

void CheckpointSnapshot::take(const State& state) {
  spans_ = held_spans(state, position_, ranks_);
  if (memory_.bytes() == 0) return;
  auto* at = memory_.as<std::byte>();
  for (HeldSpan& held : spans_) {
    if (state.tensors[held.span.tensor].copied) continue;
    LOCKSTEP_CHECK(at + bytes_of(held.span) <= memory_.as<std::byte>() + memory_.bytes(),
                   "another layout");
    std::memcpy(at, held.numbers, bytes_of(held.span));
    held.numbers = reinterpret_cast<const float*>(at);
    at += bytes_of(held.span);
  }
}

}  // namespace lockstep::train
