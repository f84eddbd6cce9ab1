#include "moving_engine.h"

#include "lockstep/core/clock.h"

namespace lockstep::comm {
namespace {

float* first_tile(const Pages& tiles) { return reinterpret_cast<float*>(tiles.data()); }

}  // namespace

MovingEngine::MovingEngine(FoldContext& context, const FoldArithmetic& arithmetic)
    : context_(context),
      stores_(
          context.plan, context.memory.slot(context.local, 0),
          static_cast<std::int64_t>(context.plan.windows[context.local].slot_bytes / sizeof(float)),
          arithmetic),
      tiles_(context.plan.tile_bytes),
      program_(context.plan.node_lanes(), context.plan.layout.lanes),
      parts_(context, program_.program(), arithmetic, first_tile(tiles_)),
      shards_(context, arithmetic, first_tile(tiles_)) {}

// All lanes are claimed when the first bucket of each has been pushed, and buckets go in order.
void MovingEngine::start(Stage stage, int b) {
  const ScopedTimer timer(folding_);
  if (stage == Stage::kPart) {
    if (b == 0) context_.claims->find_sources(program_, parts_.sources());
    parts_.fold(b);
  } else if (stage == Stage::kShard) {
    shards_.fold(b);
  } else {
    shards_.sum_returned(b);
  }
}

}  // namespace lockstep::comm
