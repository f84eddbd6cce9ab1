// The ledger of a strategy before it is made.
#include <algorithm>

#include "lockstep/core/error.h"
#include "parallel/layouts.h"

namespace lockstep::parallel {
namespace {

// Elements, padding left out, of the blocks that a position updates.
std::size_t updated_elements(const ParameterTable& table, const comm::Shards& shards,
                             int position) {
  std::size_t elements = 0;
  for (std::size_t b = 0; b < table.blocks().size(); ++b) {
    if (shards.owner(static_cast<int>(b)) == position)
      elements += static_cast<std::size_t>(table.blocks()[b].elements);
  }
  return elements;
}

std::size_t lamb_bytes(const ParameterTable& table, std::size_t updated, bool sharded) {
  if (sharded) return updated * sizeof(float);
  std::int64_t largest = 0;
  for (const Parameter& p : table.parameters()) largest = std::max(largest, p.elements);
  return static_cast<std::size_t>(largest) * sizeof(float);
}

}  // namespace

// What does not move is read by those who run it; servers, whose ranks may be more than the lanes,
// run none.
std::int64_t lane_places(const comm::Topology& topology, const Options& options) {
  if (options.assignment == Assignment::kStatic) return 0;
  return comm::lane_places(topology, options.lanes, dealing_of(options.assignment));
}

std::vector<nn::LedgerRow> planned_ledger(const comm::Topology& topology,
                                          const nn::Program& program,
                                          const optim::Options& optimizer_options,
                                          const Options& options) {
  const bool sharded = options.kind == Kind::kSharded;
  LOCKSTEP_CHECK(sharded || options.kind == Kind::kReplicated, "no plan of {}",
                 name_of(options.kind));
  const ParameterTable& table = program.table();
  const BucketTable buckets(program, options.bucket_bytes);
  const std::size_t flat = static_cast<std::size_t>(table.flat_elements()) * sizeof(float);
  std::size_t parameters = flat, gathered = 0, updated = flat / sizeof(float);
  if (sharded) {
    const comm::FlatLayout layout = flat_layout(program, buckets, options);
    const comm::FlatBytes bytes = comm::flat_bytes(topology, layout);
    parameters = bytes.resident;
    gathered = bytes.gathered;
    updated =
        updated_elements(table, comm::Shards(layout.fold, topology.ranks()), topology.position);
  }
  std::size_t state = updated * sizeof(float) * optim::state_names(optimizer_options).size();
  if (optimizer_options.kind == optim::Kind::kLamb) state += lamb_bytes(table, updated, sharded);
  const comm::FoldBytes fold =
      comm::fold_bytes(topology, fold_layout(table, buckets, options, true), options.reduce);
  std::vector<nn::LedgerRow> rows{{"parameters", parameters, ""}, {"optimizer state", state, ""}};
  if (gathered > 0) rows.push_back({"gathered parameters", gathered, ""});
  rows.push_back({"gradient windows", fold.window, ""});
  rows.push_back({"fold buffers", fold.private_memory, ""});
  if (const auto sink = GradientSink::bytes(table, buckets, options.accumulate); sink > 0)
    rows.push_back({"accumulation", static_cast<std::size_t>(options.streams) * sink, ""});
  return rows;
}

}  // namespace lockstep::parallel
