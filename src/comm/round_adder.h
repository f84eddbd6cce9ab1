// Adds leaves of rounds on the host, block by block, so that a block goes through all its merges in
// cache: a node's leaves to its canonical nodes, and what arrives to this rank's store. Knows
// neither flags nor when.
#pragma once
#include <span>
#include <vector>

#include "round_exchange.h"
#include "tile_runner.h"

namespace lockstep::comm {

class RoundAdder {
 public:
  // exchange: null on one node. values: of this rank's blocks, in the order of OwnedValues.
  RoundAdder(const RoundPlan& plan, const RoundMemory& memory, const RoundExchange* exchange,
             const FoldArithmetic& arithmetic, double* values);

  // Several nodes: this rank's part of the node's leaves, to its outbox.
  void fold_part(int tick);
  // This rank's shard, into its store; after the last round with the sums of squares.
  void take(int tick);
  const float* sum(int block) const;
  const float* sums() const;  // of the whole shard, at RoundPlan::shard_begin of each bucket
  std::span<std::byte> store_pages() const { return {store_.data(), store_.bytes()}; }

 private:
  float* slot(int index, int block, int bucket) const;
  float* tile(int index) const;
  void find_leaves(int tick, LaneRange lanes);
  void find_pieces(int tick);
  void set_sources(int tick, int block);
  void merge(int j, int block, int bucket);

  const RoundPlan& plan_;
  const RoundMemory& memory_;
  const RoundExchange* const exchange_;
  const FoldArithmetic arithmetic_;
  double* const values_;
  Pages store_, tiles_;
  std::vector<TileRunner> local_runners_;              // by round
  std::vector<std::vector<TileRunner>> take_runners_;  // by round and take
  // Of the tick at work.
  std::vector<const float*> leaves_;  // by lane of the round, or of the node's
  std::vector<Piece> pieces_;         // by position
  std::vector<int> cursor_;           // node -> local rank whose part has the block
  std::vector<const float*> sources_;
};

}  // namespace lockstep::comm
