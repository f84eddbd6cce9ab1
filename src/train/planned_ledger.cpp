#include "train/planned_ledger.h"

#include <algorithm>

#include "train/checkpoint_blocks.h"

namespace lockstep::train {
namespace {

using Rows = std::vector<nn::LedgerRow>;

optim::Options with_end(const Run& run, const data::Manifest& manifest) {
  optim::Options options = run.optimizer;
  const std::int64_t of_epoch = manifest.find(run.data.train)->samples / run.train.batch;
  options.total_steps = run.train.steps > 0 ? run.train.steps : run.train.epochs * of_epoch;
  return options;
}

// Of Staging: two places of inputs, and one of logits.
std::size_t staging_bytes(const nn::ProgramOptions& options) {
  const auto samples = static_cast<std::size_t>(options.microbatch * options.streams);
  const auto input = static_cast<std::size_t>(options.sample.elements());
  const auto labels = static_cast<std::size_t>(options.labels);
  const auto outputs = static_cast<std::size_t>(options.outputs);
  return samples * sizeof(float) * (2 * (input + labels + outputs) + labels * outputs);
}

}  // namespace

LedgerPlan::LedgerPlan(const Run& run, const data::Manifest& manifest, const Task& task,
                       ops::Precision precision)
    : run_(run),
      task_(task),
      precision_(precision),
      cuda_(run.run.device != "cpu"),
      optimizer_(with_end(run, manifest)),
      loader_(manifest, loader_options(run, task, run.data.train)) {}

const nn::Program& LedgerPlan::program(const Run& run) const {
  auto& program = programs_[{holds_parameters(run), program_streams(run)}];
  if (!program)
    program = std::make_unique<nn::Program>(sparse_cpu_device(), make_layers(run, task_),
                                            program_options(run, task_, precision_));
  return *program;
}

void LedgerPlan::append_data(Rows& rows, const comm::Topology& topology,
                             const parallel::Options& options) const {
  const data::LoaderBytes bytes =
      loader_.bytes(topology, parallel::planned_lanes(topology, options),
                    parallel::lane_places(topology, options));
  rows.push_back({"data windows", bytes.windows,
                  "decoded samples ahead of the lanes, shared on the node", true});
  if (bytes.held > 0)
    rows.push_back({"data held", bytes.held,
                    "this rank's share of the training split, shared on the node", true});
  if (bytes.exchange > 0)
    rows.push_back(
        {"data messages", bytes.exchange, "samples on their way to other nodes", true});
  if (!bytes.cache_text.empty())
    rows.push_back({"data cache", bytes.cache, bytes.cache_text, true});
}

// What this position saves, but for what is a copy of the device's.
std::uint64_t LedgerPlan::snapshot_bytes(const comm::Topology& topology,
                                         const nn::Program& program,
                                         const parallel::Options& options, bool on_device) const {
  const auto tensors = parallel::planned_state(topology, program, optimizer_, options);
  State state{&program.table(), {}, {}};
  for (const parallel::PlannedTensor& tensor : tensors)
    state.tensors.push_back({tensor.name, nullptr,
                             tensor.holders.empty() ? nullptr : &tensor.holders,
                             on_device && !tensor.on_host});
  std::uint64_t elements = 0;
  for (const BlockSpan& span :
       spans_of(program.table(), shares_of(state, topology.position, topology.ranks()))) {
    if (!state.tensors[static_cast<std::size_t>(span.tensor)].copied)
      elements += static_cast<std::uint64_t>(span.elements);
  }
  return elements * sizeof(float);
}

Rows LedgerPlan::rows(const comm::Topology& topology, const parallel::Options& asked,
                      std::uint64_t before) const {
  Run run = run_;
  run.parallel.options = asked;
  run.train.lanes = asked.lanes;
  const parallel::Options options = parallel_options(run);
  const nn::Program& program = this->program(run);
  Rows rows = parallel::planned_ledger(topology, program, optimizer_, options, cuda_);
  for (nn::LedgerRow& row : program.ledger()) {
    // A device's kernels have no layout of their own.
    if (cuda_ && (row.name == "packed weights" || row.name == "gathered layers")) row.bytes = 0;
    rows.push_back(std::move(row));
  }
  if (cuda_) {
    rows.push_back({"pinned staging", staging_bytes(program.options()),
                    "inputs, records and logits on their way", true});
    std::uint64_t copies = 0;
    for (const nn::LedgerRow& row : rows) {
      const bool is_parameters = row.name == "parameters";
      if (row.on_host || (!is_parameters && row.name != "optimizer state")) continue;
      if (is_parameters && options.kind != parallel::Kind::kReplicated) continue;
      copies += row.bytes;
    }
    if (copies > 0)
      rows.push_back({"host copies", copies,
                      "of parameters and optimizer state, for checkpoints and digests", true});
  }
  append_data(rows, topology, options);
  rows.push_back({"program and libraries", before, "as this process began", true});
  if (!run.checkpoint.dir.empty() && run.checkpoint.background)
    rows.push_back({"checkpoint snapshot", snapshot_bytes(topology, program, options, cuda_),
                    "what this rank writes of a checkpoint, while steps go on", true});
  return rows;
}

}  // namespace lockstep::train
