#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "app/completion.h"
#include "app/man_page.h"
#include "lockstep/config/reference.h"
#include "lockstep/config/run.h"

namespace lockstep::app {
namespace {

struct ConfigOptions {
  std::string file;
  std::vector<std::string> overrides;
  bool options = false;
  std::string man, completion;
};

std::string config_text(const ConfigOptions& options, const CLI::App& program) {
  if (options.options) return config::options_markdown();
  if (!options.man.empty()) return man_page(program, options.man);
  if (!options.completion.empty()) return bash_completion(program);
  if (options.file.empty()) {
    throw UserError("name a run file, as in lockstep config run.toml, or --options for all keys");
  }
  return config::resolved_toml(config::read_run(options.file, options.overrides));
}

ExitCode config_command(const ConfigOptions& options, Context& context) {
  if (!context.ranks.alone_in_charge()) return ExitCode::kDone;
  const std::string text = config_text(options, context.program);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) throw UserError("the output could not be written");
  return ExitCode::kDone;
}

}  // namespace

void add_overrides(CLI::App& command, std::vector<std::string>& overrides) {
  command.add_option("--set", overrides, "Override a key of the run file; may be repeated")
      ->type_name("SECTION.KEY=VALUE")
      ->allow_extra_args(false);
}

void add_config(CLI::App& program, Action& action) {
  auto options = std::make_shared<ConfigOptions>();
  CLI::App* command =
      program.add_subcommand("config", "Print the whole resolved run, defaults included");
  command->add_option("run", options->file, "Run file (TOML)")->type_name("FILE");
  add_overrides(*command, options->overrides);
  command->add_flag("--options", options->options, "Print the reference of all keys (Markdown)");
  // For the build, which installs what these print.
  command->add_option("--man", options->man, "Man page of lockstep or of a command")->group("");
  command->add_option("--completion", options->completion, "Completion for a shell")
      ->check(CLI::IsMember({"bash"}))
      ->group("");
  command->footer([] { return "\n" + config::options_text(); });
  command->callback([&action, options] {
    action = [options](Context& context) { return config_command(*options, context); };
  });
}

}  // namespace lockstep::app
