// The windows of a node's ranks, read through the plan: flags, records, block values, slots,
// outbox.
#pragma once
#include <memory>

#include "fold_memory.h"

namespace lockstep::comm {

class NodeMemory {
 public:
  NodeMemory(const FoldPlan& plan, std::unique_ptr<SharedWindow> window)
      : plan_(plan), window_(std::move(window)) {}

  Flag& ready(int local, int b) const { return flags(local, layout(local).ready)[b]; }
  Flag& folded(int local, int b) const { return flags(local, layout(local).folded)[b]; }
  Flag& done(int local, int b) const { return flags(local, layout(local).done)[b]; }
  Flag& released(int local) const { return *flags(local, layout(local).released); }
  Flag& recorded(int local) const { return *flags(local, layout(local).recorded); }
  std::byte* records(int local, std::int64_t round) const {
    return at(local, layout(local).records + (round & 1) * layout(local).record_set);
  }
  double* block_values(int local) const {
    return reinterpret_cast<double*>(at(local, layout(local).block_values));
  }
  // Element e of the flat buffer lies at [e].
  float* slot(int local, int index) const {
    return floats(local, layout(local).slots + index * layout(local).slot_bytes);
  }
  float* result(int local) const { return slot(local, plan_.stores[local].result_slot()); }
  float* outbox(int local) const { return floats(local, layout(local).outbox); }

 private:
  const WindowLayout& layout(int local) const { return plan_.windows[local]; }
  std::byte* at(int local, std::size_t offset) const { return window_->part(local) + offset; }
  Flag* flags(int local, std::size_t offset) const {
    return reinterpret_cast<Flag*>(at(local, offset));
  }
  float* floats(int local, std::size_t offset) const {
    return reinterpret_cast<float*>(at(local, offset));
  }

  const FoldPlan& plan_;
  std::unique_ptr<SharedWindow> window_;
};

inline bool reached(const Flag& flag, std::int64_t round) {
  return flag.step.load(std::memory_order_acquire) >= round;
}
inline void publish(Flag& flag, std::int64_t round) {
  flag.step.store(round, std::memory_order_release);
}

}  // namespace lockstep::comm
