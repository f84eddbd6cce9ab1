// Silent corruption: whether the copies that ranks hold of the same numbers are still the same, by
// their blocks' hashes, every so many steps and before each checkpoint. Knows neither the model nor
// why copies may differ.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"
#include "lockstep/device/device.h"
#include "lockstep/parallel/strategy.h"
#include "train/host_tensors.h"

namespace lockstep::train {

class ReplicaCheck {
 public:
  // every: steps between two checks; 0: never, and nothing is allocated.
  ReplicaCheck(comm::Communicator& communicator, Device& device, Stream& stream,
               const ParameterTable& table, parallel::Strategy& strategy, std::int64_t every);

  // Called, on all ranks alike, before it ends the run: what is under way was copied when the
  // copies were last equal, and can be completed.
  void before_stop(std::function<void()> call) { before_stop_ = std::move(call); }
  // Collective, after steps (from, to]. Throws DataError, on all ranks alike, naming ranks, hosts
  // and the first block, if a check was due among them and copies differ.
  void ended(std::int64_t from, std::int64_t to) {
    if (every_ > 0 && to / every_ > from / every_) check(to);
  }
  // Collective, before what step `step` has left is saved: the same, unless it was checked already.
  void before_save(std::int64_t step) {
    if (every_ > 0 && step != checked_) check(step);
  }

 private:
  void check(std::int64_t step);
  Hash128 hash_all();
  [[noreturn]] void refuse(std::int64_t step, const std::vector<int>& group, bool tied);
  std::string place_text(std::int64_t block) const;  // in the order of hashes_

  comm::Communicator& communicator_;
  const ParameterTable& table_;
  std::function<void()> before_stop_;
  std::int64_t every_;  // 0 also where there is nothing to compare
  std::unique_ptr<HostTensors> copies_;
  std::vector<Hash128> hashes_;  // tensor by tensor, then the table's blocks
  bool mine_ = false;            // this rank has a copy of its own
  std::int64_t checked_ = -1;
};

// By position: which of the distinct values it has, numbered by how many positions have it, most
// first, then by the lowest of them; -1 where it has none. tied: the two largest groups have the
// same size, so nobody can tell which is right.
std::vector<int> group_of(const std::vector<Hash128>& values, const std::vector<bool>& has,
                          bool& tied);

}  // namespace lockstep::train
