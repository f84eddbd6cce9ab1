#include "train/session.h"

#include "lockstep/core/philox.h"
#include "train/precision.h"

namespace lockstep::train {
namespace {

data::Manifest read_data(comm::Communicator& communicator, const Run& run, const std::string& split,
                         const DataFacts* facts) {
  communicator.set_activity("reading the dataset's statistics", 0);
  data::Manifest manifest = data::read_manifest(communicator, run.data.path);
  if (manifest.find(split) == nullptr) return manifest;  // make_task says so
  data::cut_sequences(manifest, run.data.sequence);
  if (facts != nullptr) {
    impose(*facts, run, manifest);
  } else if (run.data.normalise != data::Normalise::kNone && !is_text(manifest)) {
    data::add_statistics(communicator, manifest, split, run.data.input);
  }
  return manifest;
}

Task task_of(const Run& run, const data::Manifest& manifest, const std::string& split,
             const data::TokenizerModel& tokenizer, const DataFacts* facts) {
  if (facts != nullptr) check_tokenizer(*facts, tokenizer, manifest);
  return make_task(run, manifest, split);
}

// A batch that is larger than the split is refused in the words of the run file.
std::unique_ptr<data::Loader> open_loader(comm::Communicator& communicator, const Run& run,
                                          const Model& model) {
  check_batch(run, model.manifest);
  return data::make_loader(communicator, model.manifest,
                           loader_options(run, model.task, run.data.train));
}

std::int64_t steps_of(const Run& run, const data::Loader& loader) {
  const std::int64_t by_epochs = run.train.epochs * loader.steps_per_epoch();
  return run.train.steps > 0 ? run.train.steps : by_epochs;
}

optim::Options with_end(optim::Options options, std::int64_t total_steps) {
  options.total_steps = total_steps;
  return options;
}

parallel::Options parallel_options(const Run& run) {
  parallel::Options options;
  options.lanes = run.train.lanes;
  options.accumulate = run.train.accumulate;
  options.bucket_bytes = run.parallel.bucket_bytes;
  options.streams = static_cast<int>(run.run.threads);
  options.reduce = run.parallel.reduce == "mpi" ? comm::ReduceKind::kMpi : comm::ReduceKind::kFold;
  return options;
}

}  // namespace

Model::Model(comm::Communicator& communicator, Device& device, const Run& run,
             const std::string& split, const DataFacts* facts)
    : manifest(read_data(communicator, run, split, facts)),
      tokenizer(read_tokenizer(communicator, manifest)),
      task(task_of(run, manifest, split, tokenizer, facts)),
      choice(communicator, device),
      program(device, make_layers(run, task),
              program_options(run, task, precision_in_force(run, device))),
      flat(device.allocate(
          static_cast<std::size_t>(program.table().flat_elements()) * sizeof(float), "parameters")),
      host(device, program.stream(0)),
      streams(static_cast<int>(run.run.threads), device) {
  choice.built();
  program.bind(flat.as<float>());
  host.add("parameters", flat.as<float>(), program.table().flat_elements());
}

Session::Session(comm::Communicator& communicator, Device& device, const Run& run)
    : model(communicator, device, run, run.data.train, nullptr),
      loader(open_loader(communicator, run, model)),
      optimizer_options(with_end(run.optimizer, steps_of(run, *loader))),
      optimizer(model.program.table(), optimizer_options, device),
      strategy(communicator, device, model.program, model.flat.as<float>(), optimizer,
               optimizer_options, parallel_options(run)),
      total_steps(optimizer_options.total_steps) {
  const auto largest = static_cast<std::uint64_t>(model.program.largest_tensor());
  check_counter_limits(static_cast<std::uint64_t>(total_steps),
                       static_cast<std::uint64_t>(run.train.lanes * run.train.accumulate),
                       model.program.rows().size(), largest);
  const auto& names = optimizer.state_names();
  for (std::size_t i = 0; i < names.size(); ++i)
    model.host.add("optimizer/" + names[i], optimizer.state(static_cast<int>(i)),
                   model.program.table().flat_elements());
}

State Session::state(const Progress& progress) {
  model.host.fetch();
  return {&model.program.table(), model.host.tensors(), progress};
}

std::vector<nn::LedgerRow> Session::ledger() const {
  std::vector<nn::LedgerRow> rows{
      {"parameters", model.flat.bytes(), "fp32, running statistics included"},
      {"optimizer state", optimizer.state_bytes(), std::string(name_of(optimizer_options.kind))}};
  for (const auto& part : {model.program.ledger(), strategy.ledger()})
    rows.insert(rows.end(), part.begin(), part.end());
  if (model.host.bytes() > 0)
    rows.push_back({"host copies", model.host.bytes(),
                    "of parameters and optimizer state, for checkpoints and digests", true});
  rows.push_back({"data windows", loader->window_bytes(),
                  "decoded samples ahead of the lanes, shared on the node", true});
  return rows;
}

}  // namespace lockstep::train
