#include <algorithm>
#include <exception>
#include <memory>

#include "app/commands.h"
#include "app/load_run.h"
#include "app/planned.h"
#include "app/version.h"
#include "lockstep/config/reference.h"
#include "lockstep/config/run.h"
#include "lockstep/core/crash.h"
#include "lockstep/core/events.h"
#include "lockstep/core/host.h"
#include "lockstep/train/signals.h"
#include "lockstep/train/timeline.h"
#include "lockstep/train/trainer.h"

namespace lockstep::app {
namespace {

struct TrainOptions {
  std::string file;
  std::vector<std::string> overrides;
  train::TrainRequest request;
};

// That record events, besides those that compute: of the reader, of messages, of checkpoints.
constexpr int kMoreThreads = 3;

// A timeline needs far more of them, and shows those who decode, too.
void record_events(const train::Run& run, bool traces) {
  const std::int64_t threads = run.run.threads + kMoreThreads;
  if (!traces)
    return events::begin(static_cast<std::size_t>(run.log.events), static_cast<int>(threads));
  constexpr std::int64_t kDecoders = 8;
  const std::int64_t decoders = run.data.threads > 0 ? run.data.threads - 1 : kDecoders;
  events::begin(static_cast<std::size_t>(std::max(run.log.events, train::kTraceEvents)),
                static_cast<int>(threads + decoders), train::kTraceNote);
  events::in_detail.store(true);
}

ExitCode train_command(TrainOptions options, Context& context) {
  const Loaded loaded = load_run(context.ranks, "the run file " + options.file, [&](Loaded& mine) {
    mine.run = config::read_run(options.file, options.overrides);
    config::check_complete(mine.run, options.file);
    record_events(mine.run, !options.request.trace.empty());
    events::name_thread("main");
    events::set_activity("connecting the ranks", -1);
    // Before MPI, whose start takes a while. Without a folder nothing could be saved: then a signal
    // ends the run at once.
    if (!mine.run.checkpoint.dir.empty() && !options.request.check_only)
      train::install_signal_handlers();
  });
  crash::install(fmt::format("rank {} (host {})", loaded.communicator->rank(), host_name()));
  options.request.resolved_toml = config::resolved_toml(loaded.run);
  options.request.version = version_number();
  options.request.parse_run = [](const std::string& toml, const std::string& name) {
    return config::parse_run(toml, name, {});
  };
  options.request.libraries = library_versions();
  if (!options.request.check_only && !loaded.run.checkpoint.dir.empty())
    options.request.planned = planned(*loaded.communicator, loaded.run, options.file);
  return train::run_training(*loaded.communicator, loaded.run, options.request);
}

}  // namespace

void add_train(CLI::App& program, Action& action) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = program.add_subcommand("train", "Train the model that a run file describes");
  command->add_option("run", options->file, "Run file (TOML)")->required()->type_name("FILE");
  add_overrides(*command, options->overrides);
  command->add_flag("--check", options->request.check_only,
                    "Open the data, build the model, print the memory ledger and stop");
  auto* resume =
      command->add_flag("--resume", options->request.resume,
                        "Go on from the newest checkpoint; start fresh if there is none");
  command
      ->add_flag("--overwrite", options->request.overwrite,
                 "Start fresh in a folder that holds checkpoints; they go at the first save")
      ->excludes(resume);
  command
      ->add_option("--trace", options->request.trace,
                   "Write a timeline of the ops, messages and reads of all ranks here at the end, "
                   "for ui.perfetto.dev")
      ->type_name("FILE");
  command
      ->add_option("--init-from", options->request.init_from,
                   "First values of the parameters: safetensors, as export or transformers writes "
                   "them (a file, or a folder with model.safetensors)")
      ->type_name("FILE");
  command
      ->add_option("--stop-after", options->request.stop_after,
                   "Save and stop after this many steps in all (schedules keep the run's length)")
      ->type_name("STEPS")
      ->check(CLI::PositiveNumber);
  command->footer([] { return "\n" + config::options_text(); });
  command->callback([&action, options] {
    action = [options](Context& context) { return train_command(*options, context); };
  });
}

}  // namespace lockstep::app
