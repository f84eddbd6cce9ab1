// The ledger of a strategy before it is made.
#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "parallel/layouts.h"
#include "parallel/local_layout.h"

namespace lockstep::parallel {
namespace {

using Rows = std::vector<nn::LedgerRow>;

struct Planned {
  const comm::Topology& topology;
  const nn::Program& program;
  const optim::Options& optimizer;
  const Options& options;
  const bool on_device;

  const ParameterTable& table() const { return program.table(); }
  std::size_t flat_bytes() const {
    return static_cast<std::size_t>(table().flat_elements()) * sizeof(float);
  }
  std::size_t states() const { return optim::state_names(optimizer).size(); }
};

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

std::size_t lamb_bytes(const Planned& in, std::size_t updated, bool sharded) {
  if (in.optimizer.kind != optim::Kind::kLamb) return 0;
  if (sharded) return updated * sizeof(float);
  std::int64_t largest = 0;
  for (const Parameter& p : in.table().parameters()) largest = std::max(largest, p.elements);
  return static_cast<std::size_t>(largest) * sizeof(float);
}

std::size_t state_bytes(const Planned& in) {
  return in.states() * in.flat_bytes() + lamb_bytes(in, 0, false);
}

// The rows of Synchronous.
void append_sums(Rows& rows, const Planned& in, const comm::Topology& topology,
                 const Options& options) {
  const BucketTable buckets(in.program, options.bucket_bytes);
  const comm::FoldLayout layout = fold_layout(in.table(), buckets, options, !in.on_device);
  const comm::FoldBytes fold = comm::fold_bytes(topology, layout, options.reduce, in.on_device);
  rows.push_back({"gradient windows", fold.window, "partial sums of the lanes, shared on the node",
                  true});
  rows.push_back({"fold buffers", fold.private_memory,
                  "a bucket in the making, messages between nodes", true});
  if (fold.device > 0) rows.push_back({"gradients", fold.device, "leaves, partial sums and sums"});
  if (const auto sink = GradientSink::bytes(in.table(), buckets, options.accumulate); sink > 0)
    rows.push_back({"accumulation", static_cast<std::size_t>(options.streams) * sink,
                    "sum over microbatches of a lane"});
}

Rows replicated_rows(const Planned& in) {
  Rows rows{{"parameters", in.flat_bytes(), "fp32, running statistics included"},
            {"optimizer state", state_bytes(in), std::string(name_of(in.optimizer.kind))}};
  append_sums(rows, in, in.topology, in.options);
  return rows;
}

// Two places, each of the largest use, on a device.
std::size_t use_bytes(const nn::Program& program) {
  std::int64_t largest = 0;
  for (const nn::ParameterUse& use : program.uses()) {
    std::int64_t elements = 0;
    for (const int p : use.parameters)
      elements += (program.table()[p].elements + kGranule - 1) / kGranule * kGranule;
    largest = std::max(largest, elements);
  }
  return 2 * static_cast<std::size_t>(largest) * sizeof(float);
}

Rows sharded_rows(const Planned& in) {
  const bool held = in.options.stage == 3;
  const BucketTable buckets(in.program, in.options.bucket_bytes);
  const comm::FlatLayout layout = flat_layout(in.program, buckets, in.options);
  const comm::FlatBytes bytes = comm::flat_bytes(in.topology, layout);
  const std::size_t updated = updated_elements(
      in.table(), comm::Shards(layout.fold, in.topology.ranks()), in.topology.position);
  Rows rows;
  if (in.on_device)
    rows.push_back({"parameters", held ? updated * sizeof(float) : in.flat_bytes(),
                    held ? "this rank's shard, fp32" : "fp32, running statistics included"});
  rows.push_back({in.on_device ? "parameters on the host" : "parameters", bytes.resident,
                  held ? "this rank's shard, fp32" : "this rank's share of the node's copy, fp32",
                  true});
  rows.push_back({"optimizer state",
                  updated * sizeof(float) * in.states() + lamb_bytes(in, updated, true),
                  fmt::format("{}, this rank's shard", name_of(in.optimizer.kind))});
  if (held && in.on_device)
    rows.push_back({"parameters in use", use_bytes(in.program), "of two uses, on the device"});
  if (bytes.gathered > 0)
    rows.push_back({"gathered parameters", bytes.gathered,
                    "of two uses, from other nodes, shared on the node", true});
  append_sums(rows, in, in.topology, in.options);
  return rows;
}

Rows local_rows(const Planned& in) {
  const std::int64_t replicas = checked_replicas(in.options, in.topology.ranks());
  const auto mine = static_cast<std::size_t>(
      comm::cut_lanes(replicas, in.topology.ranks())[static_cast<std::size_t>(in.topology.position)]
          .size());
  const comm::Topology self{0, {0}, {0}, {0, 1}};
  Rows rows{{"parameters", in.flat_bytes(),
             "fp32, of the replica at work, running statistics included"},
            {"optimizer state", mine * state_bytes(in),
             fmt::format("{}, of {} replica{}", name_of(in.optimizer.kind), mine,
                         mine == 1 ? "" : "s")}};
  if (in.on_device)
    rows.push_back(
        {"parameters on the host", in.flat_bytes(), "of a replica, for meetings", true});
  append_sums(rows, in, self, options_within(in.options, in.options.lanes / replicas));
  rows.push_back(
      {"parameters of the last meeting", in.flat_bytes(), "what all begin from", true});
  if (in.options.outer == OuterStep::kNesterov)
    rows.push_back({"outer momentum", in.flat_bytes(), "of the mean change", true});
  const BucketTable buckets(in.program, in.options.bucket_bytes);
  const comm::FoldBytes fold = comm::fold_bytes(
      in.topology,
      meeting_layout(buckets.layout(in.table()), in.options, replicas, in.optimizer),
      in.options.reduce);
  rows.push_back({"meeting windows", fold.window,
                  "partial sums of the replicas' changes, shared on the node", true});
  rows.push_back(
      {"meeting buffers", fold.private_memory, "a bucket in the making, messages", true});
  return rows;
}

}  // namespace

// What does not move is read by those who run it; servers, whose ranks may be more than the lanes,
// run none.
std::int64_t lane_places(const comm::Topology& topology, const Options& options) {
  if (options.assignment == Assignment::kStatic) return 0;
  return comm::lane_places(topology, options.lanes, dealing_of(options.assignment));
}

bool has_plan(Kind kind) { return kind != Kind::kServer; }

std::vector<std::int64_t> planned_lanes(const comm::Topology& topology, const Options& options) {
  LOCKSTEP_CHECK(has_plan(options.kind), "no plan of {}", name_of(options.kind));
  const int ranks = topology.ranks();
  std::vector<std::int64_t> lanes;
  std::int64_t parts = options.lanes, of_part = 1;
  if (options.kind == Kind::kLocal) {
    parts = checked_replicas(options, ranks);
    of_part = options.lanes / parts;
  }
  for (const comm::LaneRange& range : comm::cut_lanes(parts, ranks))
    lanes.push_back(of_part * range.size());
  const bool in_rounds = options.kind == Kind::kSharded && options.stage > 1 &&
                         options.reduce == comm::ReduceKind::kFold;
  if (!in_rounds) return lanes;
  // comm::Leaves::kInRounds: one of each stream of each rank, in order.
  const std::int64_t a_round = ranks * std::int64_t{options.streams};
  for (int p = 0; p < ranks; ++p) {
    const std::int64_t left = options.lanes % a_round - p * std::int64_t{options.streams};
    lanes[static_cast<std::size_t>(p)] =
        options.lanes / a_round * options.streams +
        std::clamp<std::int64_t>(left, 0, options.streams);
  }
  return lanes;
}

Rows planned_ledger(const comm::Topology& topology, const nn::Program& program,
                    const optim::Options& optimizer_options, const Options& options,
                    bool on_device) {
  LOCKSTEP_CHECK(has_plan(options.kind), "no plan of {}", name_of(options.kind));
  const Planned in{topology, program, optimizer_options, options, on_device};
  switch (options.kind) {
    case Kind::kSharded:
      return sharded_rows(in);
    case Kind::kLocal:
      return local_rows(in);
    default:
      return replicated_rows(in);
  }
}

std::vector<PlannedTensor> planned_state(const comm::Topology& topology,
                                         const nn::Program& program,
                                         const optim::Options& optimizer_options,
                                         const Options& options) {
  LOCKSTEP_CHECK(has_plan(options.kind), "no plan of {}", name_of(options.kind));
  const auto names = optim::state_names(optimizer_options);
  std::vector<PlannedTensor> tensors{{"parameters", {}, options.kind != Kind::kReplicated}};
  if (options.kind == Kind::kLocal) {
    if (options.outer == OuterStep::kNesterov) tensors.push_back({"outer/momentum", {}, true});
    const std::int64_t replicas = checked_replicas(options, topology.ranks());
    const auto dealt = comm::cut_lanes(replicas, topology.ranks());
    for (int position = 0; position < topology.ranks(); ++position) {
      const comm::LaneRange mine = dealt[static_cast<std::size_t>(position)];
      for (std::int64_t i = mine.begin; i < mine.end; ++i)
        for (const std::string& name : names)
          tensors.push_back({fmt::format("replica-{}/optimizer/{}", i, name),
                             std::vector<int>(program.table().blocks().size(), position)});
    }
    return tensors;
  }
  for (const std::string& name : names) tensors.push_back({"optimizer/" + name});
  if (options.kind == Kind::kReplicated) return tensors;
  const BucketTable buckets(program, options.bucket_bytes);
  const comm::Shards shards(flat_layout(program, buckets, options).fold, topology.ranks());
  for (PlannedTensor& tensor : tensors) tensor.holders = shards.owners();
  return tensors;
}

}  // namespace lockstep::parallel
