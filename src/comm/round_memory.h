// The memory of a node's ranks while lanes go in rounds, read through the plan.
#pragma once
#include <memory>
#include <span>
#include <utility>

#include "node_memory.h"
#include "round_plan.h"

namespace lockstep::comm {

class RoundMemory {
 public:
  RoundMemory(const RoundPlan& plan, std::unique_ptr<SharedWindow> window)
      : plan_(plan), window_(std::move(window)) {}

  Flag& pushed(int local, int stream) const { return flags(local, layout(local).pushed)[stream]; }
  Flag& folded(int local) const { return *flags(local, layout(local).folded); }
  Flag& taken(int local) const { return *flags(local, layout(local).taken); }
  Flag& released(int local) const { return *flags(local, layout(local).released); }
  Flag& recorded(int local) const { return *flags(local, layout(local).recorded); }
  // Record i of the local rank.
  std::byte* record(int local, std::int64_t step, std::int64_t i) const {
    return window_->part(local) + layout(local).records + (step & 1) * layout(local).record_set +
           static_cast<std::size_t>(i) * plan_.layout.record_bytes;
  }
  double* values(int local) const {
    return reinterpret_cast<double*>(window_->part(local) + layout(local).values);
  }
  // Element e of the flat buffer at [e - bucket.begin].
  float* leaf(int local, int stream, int tick) const {
    return floats(local, layout(local).leaves) +
           (stream * plan_.ring + tick % plan_.ring) * plan_.leaf_floats;
  }
  std::span<std::byte> leaf_pages(int local) const {
    const RoundWindow& at = layout(local);
    return {window_->part(local) + at.leaves, at.outbox - at.leaves};
  }
  float* outbox(int local) const { return floats(local, layout(local).outbox); }

 private:
  const RoundWindow& layout(int local) const { return plan_.windows[local]; }
  Flag* flags(int local, std::size_t offset) const {
    return reinterpret_cast<Flag*>(window_->part(local) + offset);
  }
  float* floats(int local, std::size_t offset) const {
    return reinterpret_cast<float*>(window_->part(local) + offset);
  }

  const RoundPlan& plan_;
  std::unique_ptr<SharedWindow> window_;
};

}  // namespace lockstep::comm
