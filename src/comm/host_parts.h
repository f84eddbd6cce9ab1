// A rank's part of its node's partial sums, added on the host: to the sum where the node is alone,
// else to the nodes of the tree that leave it, in the outbox.
#pragma once
#include <vector>

#include "fold_context.h"
#include "tile_runner.h"

namespace lockstep::comm {

class HostParts {
 public:
  // program: of the node's sources; it may change between two buckets, but not its operands'
  // numbers. tiles: of FoldPlan::tile_bytes.
  HostParts(FoldContext& context, const TileProgram& program, const FoldArithmetic& arithmetic,
            float* tiles);
  // Where element 0 of each source lies. Outlives the call of fold().
  std::vector<const float*>& sources() { return sources_; }
  void fold(int b);

 private:
  void to_sum(int b);
  void to_owners(int b);
  void set_sources(const Range& block);

  FoldContext& context_;
  FoldArithmetic arithmetic_;
  TileRunner runner_;
  std::vector<const float*> sources_;
};

}  // namespace lockstep::comm
