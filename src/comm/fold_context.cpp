#include "fold_context.h"

#include <exception>

#include "wait.h"

namespace lockstep::comm {
namespace {

constexpr double kClosingSeconds = 10;  // a peer that has not closed by then never will

}  // namespace

FoldContext::FoldContext(std::unique_ptr<FoldPlan> plan_, std::unique_ptr<SharedWindow> window,
                         std::unique_ptr<DeviceWindows> devices_, MPI_Comm messages_, bool lent)
    : owned_plan(std::move(plan_)),
      plan(*owned_plan),
      devices(std::move(devices_)),
      memory(plan, std::move(window), devices ? devices->parts() : std::vector<std::byte*>{}),
      node(plan.topology.node()),
      local(plan.topology.local()),
      locals(plan.topology.local_ranks()),
      home(plan.layout.blocks.size()),
      messages(messages_),
      lent_(lent) {
  if (plan.moving()) claims.emplace(plan, memory);
  if (plan.values_travel()) {
    const Shards shards(plan.layout, plan.topology.ranks());
    for (std::size_t block = 0; block < home.size(); ++block) {
      const int owner = shards.owner(static_cast<int>(block));
      home[block] =
          plan.topology.node_of[owner] == node ? owner - plan.topology.node_begin[node] : -1;
    }
    values.emplace(messages, plan.topology, plan.values.ranges, sizeof(double));
  }
  for (int b = 0; b < plan.buckets() && !values; ++b) {
    const auto& cut = plan.parts(node, b);
    for (int l = 0; l < locals; ++l) {
      for (int block = cut[l]; block < cut[l + 1]; ++block) home[block] = l;
    }
  }
  if (plan.where == SumsIn::kStaged)
    pinned_ = devices->device().pin(memory.window(local), plan.windows[local].bytes);
  if (!plan.several_nodes()) return;
  const auto inbox_bytes = static_cast<std::size_t>(plan.inbox_floats) * sizeof(float);
  void* inbox = nullptr;
  if (plan.where == SumsIn::kDevice) {
    device_inbox_ = devices->device().allocate(inbox_bytes, "partial sums from other nodes");
    inbox = device_inbox_.data();
  } else {
    inbox_ = Pages(inbox_bytes);
    inbox = inbox_.data();
  }
  exchange.emplace(messages, plan, memory, static_cast<float*>(inbox));
}

// A device's memory may go only when no peer has it mapped.
FoldContext::~FoldContext() {
  exchange.reset();
  values.reset();
  const bool orderly = std::uncaught_exceptions() == 0;
  if (messages != MPI_COMM_NULL && orderly && !lent_) MPI_Comm_free(&messages);
  if (pinned_) devices->device().unpin(memory.window(local));
  if (!devices || locals == 1) return;
  devices->close_peers();
  publish(memory.closed(local), 1);
  double waited = 0;
  const auto all_closed = [&] {
    for (int l = 0; l < locals; ++l) {
      if (!reached(memory.closed(l), 1)) return waited > kClosingSeconds;
    }
    return true;
  };
  if (orderly) spin_until(all_closed, [&](double seconds) { waited = seconds; });
}

}  // namespace lockstep::comm
