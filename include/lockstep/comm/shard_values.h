// A few numbers for each block of a flat buffer, known to the block's owner, made known to all.
// Knows nothing of what they mean.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/shards.h"

namespace lockstep::comm {

class ShardValues {
 public:
  virtual ~ShardValues() = default;
  // [per_block] of this block: to be written by its owner before share(), everybody's after it.
  virtual std::span<double> of(int block) = 0;
  virtual void share(std::int64_t step) = 0;  // collective; allocates nothing of its own
  virtual std::int64_t bytes_sent() const = 0;
};

// Collective. shards: over all positions.
std::unique_ptr<ShardValues> make_shard_values(Communicator& communicator, const Shards& shards,
                                               int per_block);

}  // namespace lockstep::comm
