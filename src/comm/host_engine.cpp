#include "host_engine.h"

#include "lockstep/core/clock.h"

namespace lockstep::comm {
namespace {

float* first_tile(const Pages& tiles) { return reinterpret_cast<float*>(tiles.data()); }

}  // namespace

HostEngine::HostEngine(FoldContext& context, const FoldArithmetic& arithmetic)
    : stores_(
          context.plan.layout, context.plan.stores[context.local],
          context.memory.slot(context.local, 0),
          static_cast<std::int64_t>(context.plan.windows[context.local].slot_bytes / sizeof(float)),
          arithmetic),
      tiles_(context.plan.tile_bytes),
      parts_(context, context.plan.local_program, arithmetic, first_tile(tiles_)),
      shards_(context, arithmetic, first_tile(tiles_)) {
  for (int l = 0; l < context.locals; ++l) {
    for (const auto& [node, slot] : context.plan.stores[l].remaining)
      parts_.sources().push_back(context.memory.slot(l, slot));
  }
}

void HostEngine::start(Stage stage, int b) {
  const ScopedTimer timer(folding_);
  if (stage == Stage::kPart) {
    parts_.fold(b);
  } else if (stage == Stage::kShard) {
    shards_.fold(b);
  } else {
    shards_.sum_returned(b);
  }
}

}  // namespace lockstep::comm
