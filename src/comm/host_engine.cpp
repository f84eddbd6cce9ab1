#include "host_engine.h"

namespace lockstep::comm {

HostEngine::HostEngine(FoldContext& context, const FoldArithmetic& arithmetic)
    : stores_(context.plan.layout, context.plan.stores[context.local],
              context.memory.slot(context.local, 0), slot_floats(context), arithmetic),
      stages_(context, context.plan.local_program, arithmetic) {
  for (int l = 0; l < context.locals; ++l) {
    for (const auto& [node, slot] : context.plan.stores[l].remaining)
      stages_.sources().push_back(context.memory.slot(l, slot));
  }
}

}  // namespace lockstep::comm
