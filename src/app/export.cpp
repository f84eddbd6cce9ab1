#include <filesystem>
#include <memory>

#include "app/commands.h"
#include "app/load_run.h"
#include "lockstep/config/run.h"
#include "lockstep/core/log.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/weights.h"

namespace lockstep::app {
namespace {

struct ExportOptions {
  std::string checkpoint, out;
  bool best = false, overwrite = false;
};

ExitCode export_command(const ExportOptions& options, Context& context) {
  const Loaded loaded =
      load_run(context.ranks, "the run of " + options.checkpoint, [&](Loaded& mine) {
        mine.source = find_checkpoint(options.checkpoint, options.best);
        const std::string toml = train::read_checkpoint_text(mine.source).resolved_run;
        mine.run = config::parse_run(toml, "the run in " + mine.source, {});
      });
  const std::size_t tensors = train::export_weights(*loaded.communicator, loaded.source, loaded.run,
                                                    options.out, options.overwrite);
  if (log::speaks())
    log::info("{} tensors of {} are in {}", tensors, loaded.source,
              (std::filesystem::path(options.out) / "model.safetensors").string());
  return ExitCode::kDone;
}

}  // namespace

void add_export(CLI::App& program, Action& action) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command = program.add_subcommand(
      "export", "Write a checkpoint's weights as safetensors, for other programs");
  command->add_option("checkpoint", options->checkpoint, "Checkpoint, or a folder: its newest one")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--out", options->out,
                   "Folder for model.safetensors; for gpt and llama models also config.json, as "
                   "transformers reads it")
      ->required()
      ->type_name("FOLDER");
  command->add_flag("--best", options->best, "Of a folder, the best checkpoint");
  command->add_flag("--overwrite", options->overwrite, "Replace a model.safetensors that is there");
  command->callback([&action, options] {
    action = [options](Context& context) { return export_command(*options, context); };
  });
}

}  // namespace lockstep::app
