// Where the sums of squares of blocks lie when each owner has those of its own blocks: one behind
// the other, by owner's position, then by bucket, so that an owner's are one message.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/shards.h"

namespace lockstep::comm {

struct OwnedValues {
  OwnedValues() = default;
  explicit OwnedValues(const Shards& shards);
  std::vector<std::int64_t> place;  // by block
  std::vector<LaneRange> ranges;    // by position: the places of its values
};

}  // namespace lockstep::comm
