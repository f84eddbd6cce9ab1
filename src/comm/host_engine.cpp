#include "host_engine.h"

#include "lockstep/core/clock.h"

namespace lockstep::comm {
namespace {

float* first_tile(const Pages& tiles) { return reinterpret_cast<float*>(tiles.data()); }

}  // namespace

HostEngine::HostEngine(FoldContext& context, const FoldArithmetic& arithmetic)
    : context_(context),
      arithmetic_(arithmetic),
      stores_(
          context.plan.layout, context.plan.stores[context.local],
          context.memory.slot(context.local, 0),
          static_cast<std::int64_t>(context.plan.windows[context.local].slot_bytes / sizeof(float)),
          arithmetic),
      tiles_(context.plan.tile_bytes),
      runner_(context.plan.local_program, arithmetic, first_tile(tiles_),
              tile_floats(context.plan)),
      shards_(context, arithmetic, first_tile(tiles_)) {}

void HostEngine::start(Stage stage, int b) {
  const ScopedTimer timer(folding_);
  if (stage == Stage::kShard) {
    shards_.fold(b);
  } else if (stage == Stage::kReturn) {
    shards_.sum_returned(b);
  } else if (context_.exchange) {
    fold_part_for_owners(b);
  } else {
    fold_part(b);
  }
}

void HostEngine::set_sources(const Range& block) {
  int source = 0;
  for (int l = 0; l < context_.locals; ++l) {
    for (const auto& [node, slot] : context_.plan.stores[l].remaining) {
      runner_.set_source(source++, context_.memory.slot(l, slot) + block.begin);
    }
  }
}

// One node: this rank's part of all stores, straight into its own window.
void HostEngine::fold_part(int b) {
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

// Several nodes: this rank's part, to the node's canonical nodes, into the outbox by owner.
void HostEngine::fold_part_for_owners(int b) {
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
