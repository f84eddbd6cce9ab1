#include <filesystem>
#include <memory>

#include "app/commands.h"
#include "lockstep/core/log.h"
#include "lockstep/data/import.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/usage.h"

namespace lockstep::app {
namespace {

struct InspectOptions {
  std::string file;
  bool check = false;
};

void say_usage(const std::filesystem::path& folder) {
  for (const std::string& line : train::usage_text(folder)) log::line("  " + line);
}

ExitCode inspect_command(const InspectOptions& options, Context& context) {
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  if (!std::filesystem::exists(options.file)) {
    throw UserError("there is no {}; name a dataset file or a checkpoint", options.file);
  }
  const std::string file = std::filesystem::is_directory(options.file)
                               ? find_checkpoint(options.file, false)
                               : options.file;
  const bool checkpoint = train::is_checkpoint(file);
  log::line(checkpoint ? train::checkpoint_inspect_text(file) : data::inspect_text(file));
  if (checkpoint) say_usage(std::filesystem::path(file).parent_path());
  if (options.check) {
    checkpoint ? train::check_checkpoint(file) : data::inspect_check(file);
    log::line(fmt::format("{}: every value was read and can be trusted", file));
  }
  return ExitCode::kDone;
}

}  // namespace

void add_inspect(CLI::App& program, Action& action) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      program.add_subcommand("inspect", "Show what a dataset file or a checkpoint holds");
  command
      ->add_option("file", options->file,
                   "Dataset file, checkpoint, or a folder: its newest checkpoint")
      ->required()
      ->type_name("FILE");
  command->add_flag("--check", options->check, "Read everything; stop at what cannot be trusted");
  command->callback([&action, options] {
    action = [options](Context& context) { return inspect_command(*options, context); };
  });
}

}  // namespace lockstep::app
