#include "host_shards.h"

#include <algorithm>

namespace lockstep::comm {

std::int64_t tile_floats(const FoldPlan& plan) {
  std::int64_t tile = 0;
  for (const Range& block : plan.layout.blocks) tile = std::max(tile, block.size());
  return static_cast<std::int64_t>(round_up(static_cast<std::size_t>(tile), 64));
}

HostShards::HostShards(FoldContext& context, const FoldArithmetic& arithmetic, float* tiles)
    : context_(context),
      unpacked_(tiles + context.plan.owner_program.scratch * tile_floats(context.plan)),
      tile_floats_(tile_floats(context.plan)),
      arithmetic_(arithmetic),
      runner_(context.plan.owner_program, arithmetic, tiles, tile_floats(context.plan)),
      cursor_(context.plan.topology.nodes()) {}

// All nodes' canonical nodes in tree order, into the result of the rank of this node that holds
// that part.
void HostShards::fold(int b) {
  const FoldPlan& plan = context_.plan;
  const Topology& topology = plan.topology;
  const int first = plan.shards(b)[topology.position], last = plan.shards(b)[topology.position + 1];
  std::fill(cursor_.begin(), cursor_.end(), 0);
  for (int block = first; block < last; ++block) {
    const Range& range = plan.layout.blocks[block];
    int source = 0, narrow = 0;
    for (int node = 0; node < topology.nodes(); ++node) {
      while (block >= plan.parts(node, b)[cursor_[node] + 1]) ++cursor_[node];
      const Piece& piece = context_.exchange->piece_in(b, node, cursor_[node]);
      for (int row = 0; row < piece.rows; ++row) {
        const float* at = piece.row(row) + range.begin - piece.range.begin;
        if (piece.form->narrow(row)) {
          float* const tile = unpacked_ + narrow++ * tile_floats_;
          unpack_bf16(tile, piece.row(row), range.begin - piece.range.begin, range.size());
          at = tile;
        }
        runner_.set_source(source++, at);
      }
    }
    float* const sum = context_.memory.result(context_.home[block]) + range.begin;
    runner_.set_out(0, sum);
    runner_.run(range.size());
    *context_.value_place(block) = arithmetic_.sum_of_squares(sum, range.size());
  }
}

void HostShards::sum_returned(int b) {
  const FoldPlan& plan = context_.plan;
  if (!plan.returns()) return;
  const Topology& topology = plan.topology;
  const auto& cut = plan.parts(context_.node, b);
  int owner = 0;
  for (int block = cut[context_.local]; block < cut[context_.local + 1]; ++block) {
    while (block >= plan.shards(b)[owner + 1]) ++owner;
    if (topology.node_of[owner] == context_.node) continue;
    const Range& range = plan.layout.blocks[block];
    *context_.value_place(block) = arithmetic_.sum_of_squares(
        context_.memory.result(context_.local) + range.begin, range.size());
  }
}

}  // namespace lockstep::comm
