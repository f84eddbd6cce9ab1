#include "moving_engine.h"

namespace lockstep::comm {

MovingEngine::MovingEngine(FoldContext& context, const FoldArithmetic& arithmetic)
    : context_(context),
      stores_(context.plan, context.memory.slot(context.local, 0), slot_floats(context),
              arithmetic),
      program_(context.plan.node_lanes(), context.plan.layout.lanes),
      stages_(context, program_.program(), arithmetic) {}

// All lanes are claimed when the first bucket of each has been pushed, and buckets go in order.
void MovingEngine::start(Stage stage, int b) {
  if (stage == Stage::kPart && b == 0) {
    const ScopedTimer timer(finding_);
    context_.claims->find_sources(program_, stages_.sources());
  }
  stages_.run(stage, b);
}

}  // namespace lockstep::comm
