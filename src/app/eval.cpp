#include <filesystem>
#include <memory>

#include "app/commands.h"
#include "app/load_run.h"
#include "lockstep/config/run.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/trainer.h"

namespace lockstep::app {
namespace {

struct EvalOptions {
  std::string checkpoint, data, split;
  std::vector<std::string> overrides;
  bool best = false;
};

ExitCode eval_command(EvalOptions options, Context& context) {
  if (!options.data.empty()) options.overrides.push_back("data.path=" + options.data);
  const Loaded loaded =
      load_run(context.ranks, "the run of " + options.checkpoint, [&](Loaded& mine) {
        mine.source = find_checkpoint(options.checkpoint, options.best);
        const std::string toml = train::read_checkpoint_text(mine.source).resolved_run;
        mine.run = config::parse_run(toml, "the run in " + mine.source, options.overrides);
      });
  const train::EvalRequest request{loaded.source,
                                   options.split.empty() ? loaded.run.data.test : options.split};
  return train::run_evaluation(*loaded.communicator, loaded.run, request);
}

}  // namespace

std::string find_checkpoint(const std::string& path, bool best) {
  if (!std::filesystem::exists(path)) {
    throw UserError("there is no {}; name a checkpoint, or a folder of checkpoints", path);
  }
  if (!std::filesystem::is_directory(path)) return path;
  const auto found = best ? train::best_checkpoint(path) : train::newest_checkpoint(path);
  if (!found && !best && train::has_checkpoints(path)) {
    throw DataError("none of the checkpoints in {} is whole; bring one back from a copy", path);
  }
  if (!found) {
    throw UserError("{} holds no {}checkpoint; it may belong to another run", path,
                    best ? "best " : "");
  }
  return found->string();
}

void add_eval(CLI::App& program, Action& action) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* command =
      program.add_subcommand("eval", "Evaluate a checkpoint on a split of a dataset");
  command->add_option("checkpoint", options->checkpoint, "Checkpoint, or a folder: its newest one")
      ->required()
      ->type_name("FILE");
  command->add_option("--data", options->data, "Dataset file, if not the one of the run")
      ->type_name("FILE");
  command
      ->add_option("--split", options->split, "Split to evaluate; data.test of the run if absent")
      ->type_name("NAME");
  command->add_flag("--best", options->best, "Of a folder, the best checkpoint");
  add_overrides(*command, options->overrides);
  command->callback([&action, options] {
    action = [options](Context& context) { return eval_command(*options, context); };
  });
}

}  // namespace lockstep::app
