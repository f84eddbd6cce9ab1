#include "host_parts.h"

#include "host_shards.h"

namespace lockstep::comm {

HostParts::HostParts(FoldContext& context, const TileProgram& program,
                     const FoldArithmetic& arithmetic, float* tiles)
    : context_(context),
      arithmetic_(arithmetic),
      runner_(program, arithmetic, tiles, tile_floats(context.plan)) {
  sources_.reserve(program.sources);
}

void HostParts::fold(int b) {
  if (context_.exchange) {
    to_owners(b);
  } else {
    to_sum(b);
  }
}

void HostParts::set_sources(const Range& block) {
  int source = 0;
  for (const float* at : sources_) runner_.set_source(source++, at + block.begin);
}

// One node: straight into this rank's own window.
void HostParts::to_sum(int b) {
  const auto& cut = context_.plan.parts(context_.node, b);
  for (int block = cut[context_.local]; block < cut[context_.local + 1]; ++block) {
    const Range& range = context_.plan.layout.blocks[block];
    set_sources(range);
    float* const sum = context_.memory.result(context_.local) + range.begin;
    runner_.set_out(0, sum);
    runner_.run(range.size());
    *context_.value_place(block) = arithmetic_.sum_of_squares(sum, range.size());
  }
}

// Several nodes: by owner, one row for each node of the tree.
void HostParts::to_owners(int b) {
  const FoldPlan& plan = context_.plan;
  const auto& cut = plan.parts(context_.node, b);
  int owner = 0;
  for (int block = cut[context_.local]; block < cut[context_.local + 1]; ++block) {
    while (block >= plan.shards(b)[owner + 1]) ++owner;
    const Piece& piece = context_.exchange->piece_out(b, owner);
    const Range& range = plan.layout.blocks[block];
    set_sources(range);
    const std::int64_t at = range.begin - piece.range.begin;
    for (int row = 0; row < piece.rows; ++row) {
      if (!piece.form->narrow(row)) runner_.set_out(row, piece.row(row) + at);
    }
    runner_.run(range.size());
    for (int row = 0; row < piece.rows; ++row) {
      if (piece.form->narrow(row)) pack_bf16(piece.row(row), at, runner_.moved(row), range.size());
    }
  }
}

}  // namespace lockstep::comm
