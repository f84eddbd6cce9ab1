#include "app/planned.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "lockstep/config/machine.h"
#include "lockstep/core/log.h"
#include "lockstep/plan/planned.h"

namespace lockstep::app {
namespace {

plan::Layout layout_of(const comm::Topology& topology) {
  plan::Layout layout{static_cast<std::int64_t>(topology.rank_at.size()), 1};
  for (std::size_t node = 0; node + 1 < topology.node_begin.size(); ++node)
    layout.ranks_per_node = std::max<std::int64_t>(
        layout.ranks_per_node, topology.node_begin[node + 1] - topology.node_begin[node]);
  return layout;
}

}  // namespace

std::optional<train::PlannedRecord> planned(const comm::Communicator& communicator,
                                            const train::Run& run, const std::string& name) {
  if (run.plan.machine.empty() || communicator.rank() != 0) return std::nullopt;
  try {
    const plan::Machine machine =
        config::read_machine(fmt::format("{}", fmt::join(run.plan.machine, ",")));
    const plan::Job job = plan::make_job(run, name);
    return plan::planned_record(
        plan::predict(job, machine, layout_of(communicator.topology()), job.parallel),
        machine.name);
  } catch (const std::exception& error) {
    log::warn("no plan for the report: {}", error.what());
    return std::nullopt;
  }
}

}  // namespace lockstep::app
