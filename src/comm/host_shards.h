// The owner's work on the host: folds its shard of a bucket from all nodes' partial sums, and sums
// the squares of what comes back from other owners.
#pragma once
#include <vector>

#include "fold_context.h"
#include "tile_runner.h"

namespace lockstep::comm {

class HostShards {
 public:
  // tiles: of FoldPlan::tile_bytes.
  HostShards(FoldContext& context, const FoldArithmetic& arithmetic, float* tiles);
  void fold(int b);
  void sum_returned(int b);

 private:
  FoldContext& context_;
  float* const unpacked_;  // a tile for each narrow row
  const std::int64_t tile_floats_;
  FoldArithmetic arithmetic_;
  TileRunner runner_;
  std::vector<int> cursor_;  // node -> local rank, while a shard is folded
};

std::int64_t tile_floats(const FoldPlan& plan);

}  // namespace lockstep::comm
