// The memory of a node's ranks, read through the plan: flags, records, block values in the windows;
// slots, results and outbox there or on the devices.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "fold_memory.h"

namespace lockstep::comm {

class NodeMemory {
 public:
  // device: by local rank, where this process finds the memory of DeviceLayout.
  NodeMemory(const FoldPlan& plan, std::unique_ptr<SharedWindow> window,
             std::vector<std::byte*> device = {})
      : plan_(plan), window_(std::move(window)), device_(std::move(device)) {}

  Flag& ready(int local, int b) const { return flags(local, layout(local).ready)[b]; }
  Flag& folded(int local, int b) const { return flags(local, layout(local).folded)[b]; }
  Flag& summed(int local, int b) const { return flags(local, layout(local).summed)[b]; }
  Flag& done(int local, int b) const { return flags(local, layout(local).done)[b]; }
  Flag& released(int local) const { return *flags(local, layout(local).released); }
  Flag& recorded(int local) const { return *flags(local, layout(local).recorded); }
  Flag& closed(int local) const { return *flags(local, layout(local).closed); }
  ClaimWord* claims(int local) const {
    return reinterpret_cast<ClaimWord*>(at(local, layout(local).claims));
  }
  LaneState* lane_states(int local) const {
    return reinterpret_cast<LaneState*>(at(local, layout(local).lanes));
  }
  std::byte* records(int local, std::int64_t round) const {
    return at(local, layout(local).records + (round & 1) * layout(local).record_set);
  }
  double* block_values(int local) const {
    return reinterpret_cast<double*>(at(local, layout(local).block_values));
  }
  // In slots and results element e of the flat buffer lies at [e].
  float* slot(int local, int index) const {
    if (!plan_.on_device())
      return floats(local, layout(local).slots + index * layout(local).slot_bytes);
    return on_device(local, index * plan_.devices[local].slot_bytes);
  }
  // Where the sums are read.
  float* sum(int local) const { return slot(local, plan_.stores[local].result_slot()); }
  // Where messages bring them and take them from.
  float* result(int local) const {
    return plan_.where == SumsIn::kStaged ? floats(local, layout(local).results) : sum(local);
  }
  float* outbox(int local) const {
    return plan_.where == SumsIn::kDevice ? device_outbox(local)
                                          : floats(local, layout(local).outbox);
  }
  float* device_outbox(int local) const { return on_device(local, plan_.devices[local].outbox); }
  std::byte* window(int local) const { return at(local, 0); }

 private:
  const WindowLayout& layout(int local) const { return plan_.windows[local]; }
  std::byte* at(int local, std::size_t offset) const { return window_->part(local) + offset; }
  Flag* flags(int local, std::size_t offset) const {
    return reinterpret_cast<Flag*>(at(local, offset));
  }
  float* floats(int local, std::size_t offset) const {
    return reinterpret_cast<float*>(at(local, offset));
  }
  float* on_device(int local, std::size_t offset) const {
    return reinterpret_cast<float*>(device_[local] + offset);
  }

  const FoldPlan& plan_;
  std::unique_ptr<SharedWindow> window_;
  std::vector<std::byte*> device_;
};

inline bool reached(const Flag& flag, std::int64_t round) {
  return flag.step.load(std::memory_order_acquire) >= round;
}
inline void publish(Flag& flag, std::int64_t round) {
  flag.step.store(round, std::memory_order_release);
}

}  // namespace lockstep::comm
