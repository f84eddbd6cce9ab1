#include "train/session.h"

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/log.h"
#include "lockstep/core/memory.h"
#include "lockstep/core/philox.h"
#include "lockstep/data/normalisation.h"
#include "lockstep/data/versions.h"
#include "train/memory_plan.h"
#include "train/precision.h"

namespace lockstep::train {
namespace {

data::Manifest read_data(comm::Communicator& communicator, const Run& run, const std::string& split,
                         const DataFacts* facts) {
  const events::Span span(events::Kind::kStart, "reading the dataset");
  communicator.set_activity("reading the dataset's statistics", 0);
  data::Manifest manifest = data::read_manifest(communicator, run.data.dataset);
  const std::string unchecked = data::unchecked_text(manifest);
  if (facts == nullptr && !unchecked.empty()) log::info("{}", unchecked);
  if (manifest.find(split) == nullptr) return manifest;  // make_task says so
  data::cut_sequences(manifest, run.data.sequence);
  if (facts != nullptr) {
    impose(*facts, run, manifest);
  } else if (!is_text(manifest)) {
    const data::Field& input = data::resolve_field(manifest, split, run.data.input, "input");
    const data::Field& target = data::resolve_field(manifest, split, run.data.target, "target");
    const auto none = data::Normalise::kNone;
    data::add_normalisation(communicator, manifest, split, input.name,
                            data::normalise_of(input, run.data.normalise));
    data::add_normalisation(communicator, manifest, split, target.name,
                            data::normalise_of(target, none));
  }
  return manifest;
}

Task task_of(const Run& run, const data::Manifest& manifest, const std::string& split,
             const data::TokenizerModel& tokenizer, const DataFacts* facts) {
  if (facts != nullptr) check_tokenizer(*facts, tokenizer, manifest);
  return make_task(run, manifest, split);
}

// Between nodes samples travel step by step, so that ranks must step together.
void check_shuffle(const comm::Communicator& communicator, const Run& run) {
  if (run.data.shuffle != data::Shuffle::kFull) return;
  if (run.data.cache.kind == data::Cache::kMemory)
    throw UserError(
        "data.cache = \"memory\" has no use with data.shuffle = \"full\", which reads every sample "
        "once and keeps it in memory; leave data.cache out");
  const parallel::Options& o = run.parallel.options;
  const bool together =
      o.kind == parallel::Kind::kReplicated || o.kind == parallel::Kind::kSharded ||
      (o.kind == parallel::Kind::kServer && o.mode == parallel::ServerMode::kSync);
  if (together || communicator.topology().nodes() == 1) return;
  throw UserError(
      "data.shuffle = \"full\" on {} nodes exchanges samples at every step, but with "
      "parallel.strategy = \"{}\"{} ranks do not step together; use another strategy, one node, or "
      "data.shuffle = \"window\"",
      communicator.topology().nodes(), name_of(o.kind),
      o.kind == parallel::Kind::kServer ? " and a mode other than \"sync\"" : "");
}

// A batch that is larger than the split is refused in the words of the run file.
std::unique_ptr<data::Loader> open_loader(comm::Communicator& communicator, const Run& run,
                                          const Model& model, double& began, double& ended) {
  const events::Span span(events::Kind::kStart, "opening the loader");
  began = seconds_now();
  check_batch(run, model.manifest);
  check_shuffle(communicator, run);
  auto loader = data::make_loader(communicator, model.manifest,
                                  loader_options(run, model.task, run.data.train));
  ended = seconds_now();
  return loader;
}

std::int64_t steps_of(const Run& run, const data::Loader& loader) {
  const std::int64_t by_epochs = run.train.epochs * loader.steps_per_epoch();
  return run.train.steps > 0 ? run.train.steps : by_epochs;
}

optim::Options with_end(optim::Options options, std::int64_t total_steps) {
  options.total_steps = total_steps;
  return options;
}

// What is evaluated alone needs less than what was trained.
Device& roomy(comm::Communicator& communicator, Device& device, const Run& run,
              const data::Manifest& manifest, const Task& task, bool trains) {
  if (trains && device.is_host())
    refuse_what_does_not_fit({communicator, run, manifest, task, precision_in_force(run, device)});
  return device;
}

}  // namespace

Model::Model(comm::Communicator& communicator, Device& device, const Run& run,
             const std::string& split, const DataFacts* facts)
    : manifest(read_data(communicator, run, split, facts)),
      tokenizer(read_tokenizer(communicator, manifest)),
      task(task_of(run, manifest, split, tokenizer, facts)),
      choice(communicator, run.run.device != "cpu"),
      program(roomy(communicator, device, run, manifest, task, facts == nullptr),
              make_layers(run, task), program_options(run, task, precision_in_force(run, device))),
      streams(static_cast<int>(run.run.threads), device) {
  choice.built();
}

Session::Session(comm::Communicator& communicator, Device& device, const Run& run)
    : before(proportional_memory()),
      model(communicator, device, run, run.data.train, nullptr),
      loader(open_loader(communicator, run, model, loader_began, loader_ended)),
      optimizer_options(with_end(run.optimizer, steps_of(run, *loader))),
      strategy(parallel::make_strategy(communicator, device, model.program, optimizer_options,
                                       parallel_options(run))),
      host(device, model.program.stream(0)),
      total_steps(optimizer_options.total_steps) {
  const auto largest = static_cast<std::uint64_t>(model.program.largest_tensor());
  check_counter_limits(static_cast<std::uint64_t>(total_steps),
                       static_cast<std::uint64_t>(run.train.lanes * run.train.accumulate),
                       model.program.rows().size(), largest);
  for (const parallel::StateTensor& tensor : strategy->state())
    host.add(tensor, model.program.table().flat_elements());
}

State Session::state(const Progress& progress) {
  host.fetch();
  return {&model.program.table(), host.tensors(), progress};
}

State Session::layout() const { return {&model.program.table(), host.tensors(), {}}; }

void Session::restored() {
  host.store();
  strategy->restored();
}

// Between nodes a lane moves at a window's edge, and is announced at the edge before.
void Session::deal_lanes(data::Position at) {
  if (!loader->lanes_leave() || !loader->window_begins(at)) return;
  if (const comm::LaneCuts* cuts = strategy->deal_between_nodes())
    loader->deal(cuts->now, cuts->next, at);
}

std::vector<nn::LedgerRow> Session::ledger() const {
  std::vector<nn::LedgerRow> rows;
  for (const auto& part : {strategy->ledger(), model.program.ledger()})
    rows.insert(rows.end(), part.begin(), part.end());
  if (host.bytes() > 0)
    rows.push_back({"host copies", host.bytes(),
                    "of parameters and optimizer state, for checkpoints and digests", true});
  rows.push_back({"data windows", loader->window_bytes(),
                  "decoded samples ahead of the lanes, shared on the node", true});
  if (loader->held_bytes() > 0)
    rows.push_back({"data held", loader->held_bytes(),
                    "this rank's share of the training split, shared on the node", true});
  if (loader->exchange_bytes() > 0)
    rows.push_back(
        {"data messages", loader->exchange_bytes(), "samples on their way to other nodes", true});
  if (const std::string cache = loader->cache_text(); !cache.empty())
    rows.push_back({"data cache", loader->cache_bytes(), cache, true});
  rows.push_back({"program and libraries", before, "as this process began", true});
  return rows;
}

}  // namespace lockstep::train
