#include "app/command_line.h"

#include <cstdio>

#include "app/commands.h"
#include "app/version.h"
#include "lockstep/config/nearest.h"
#include "lockstep/core/log.h"
#include "lockstep/data/probe.h"

namespace lockstep::app {
namespace {

constexpr const char* kExitCodes =
    "Exit codes: 0 done; 1 the answer is no; 2 a mistake in the command, the run file or the files "
    "it "
    "names; 3 data that cannot be trusted; 74 a rank did not answer; 75 stopped early with a good "
    "checkpoint, start again with --resume; anything else is a bug.";

// The innermost: bench calibrate of `lockstep bench calibrate`.
const CLI::App& chosen(const CLI::App& program) {
  const auto commands = program.get_subcommands();
  return commands.empty() ? program : chosen(*commands.front());
}

std::string full_name(const CLI::App& program, const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr || parent == &program
             ? command.get_name()
             : full_name(program, *parent) + " " + command.get_name();
}

std::string help_hint(const CLI::App& program) {
  const CLI::App& command = chosen(program);
  return &command == &program ? "see lockstep --help"
                              : fmt::format("see lockstep {} --help", full_name(program, command));
}

// "did you mean train?": the command or option that an unexpected argument most likely meant.
std::string meant(const CLI::App& program, const std::string& argument) {
  const CLI::App& command = chosen(program);
  std::vector<std::string> candidates;
  if (argument.starts_with("-")) {
    for (const CLI::App* app : {&command, &program}) {
      for (const CLI::Option* option : app->get_options()) {
        for (const std::string& name : option->get_lnames()) candidates.push_back("--" + name);
      }
    }
  } else {
    for (const CLI::App* sub : command.get_subcommands({})) candidates.push_back(sub->get_name());
  }
  const std::string guess = config::nearest(argument.substr(0, argument.find('=')), candidates);
  return guess.empty() ? "" : fmt::format("did you mean {}? ", guess);
}

[[noreturn]] void refuse(const CLI::App& program, const CLI::ParseError& error) {
  // What nobody took comes first: a mistyped command also looks like a missing one.
  const bool has_command =
      !program.get_subcommands().empty() && chosen(program).get_require_subcommand_min() == 0;
  auto left = chosen(program).remaining();
  if (left.empty()) left = program.remaining();
  if (!left.empty() && (!has_command || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr)) {
    throw UserError("'{}' is not expected here; {}{}", left.front(), meant(program, left.front()),
                    help_hint(program));
  }
  if (!has_command && &chosen(program) != &program) {
    std::vector<std::string> names;
    for (const CLI::App* sub : chosen(program).get_subcommands({}))
      names.push_back(sub->get_name());
    throw UserError("say what to {}: {}; {}", full_name(program, chosen(program)),
                    fmt::join(names, ", "), help_hint(program));
  }
  if (!has_command) {
    throw UserError("name a command, such as lockstep train run.toml; see lockstep --help");
  }
  throw UserError("{}; {}", error.what(), help_hint(program));
}

}  // namespace

ExitCode run_command_line(int argc, char** argv, Ranks& ranks) {
  CLI::App program(
      "Trains neural networks from HDF5 data, with the same bits on any number of ranks.",
      "lockstep");
  bool quiet = false;
  program.add_flag("-q,--quiet", quiet, "Say nothing but warnings, errors and what was asked for");
  program.set_version_flag("--version", version_text, "Version, build and libraries");
  program.require_subcommand(1);
  program.footer(kExitCodes);

  Action action;
  add_train(program, action);
  add_eval(program, action);
  add_generate(program, action);
  add_export(program, action);
  add_import(program, action);
  add_inspect(program, action);
  add_config(program, action);
  add_verify(program, action);
  add_trace(program, action);
  add_plan(program, action);
  add_doctor(program, action);
  add_report(program, action);
  add_bench(program, action);
  for (CLI::App* command : program.get_subcommands({})) {
    command->fallthrough();
    for (CLI::App* inner : command->get_subcommands({})) inner->fallthrough();
  }

  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    if (ranks.alone_in_charge()) program.exit(asked);
    return ExitCode::kDone;
  } catch (const CLI::ParseError& error) {
    refuse(program, error);
  }
  log::set_quiet(quiet);
  data::set_probe_program("/proc/self/exe");
  Context context{ranks, program, "lockstep"};
  for (int i = 1; i < argc; ++i) context.command_line += fmt::format(" {}", argv[i]);
  return action(context);
}

}  // namespace lockstep::app
