// The subcommands: each adds its options to the program, and an action that runs when it is chosen.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "app/ranks.h"
#include "lockstep/core/error.h"

namespace lockstep::app {

struct Context {
  Ranks& ranks;
  const CLI::App& program;  // for what is generated from it
  std::string command_line;  // as it was given, "lockstep import ..."
};
using Action = std::function<ExitCode(Context&)>;

void add_train(CLI::App& program, Action& action);
void add_eval(CLI::App& program, Action& action);
void add_generate(CLI::App& program, Action& action);
void add_export(CLI::App& program, Action& action);
void add_inspect(CLI::App& program, Action& action);
void add_import(CLI::App& program, Action& action);
void add_config(CLI::App& program, Action& action);
void add_verify(CLI::App& program, Action& action);
void add_trace(CLI::App& program, Action& action);
void add_plan(CLI::App& program, Action& action);
void add_doctor(CLI::App& program, Action& action);
void add_report(CLI::App& program, Action& action);
void add_bench(CLI::App& program, Action& action);

// --set section.key=value, any number of times.
void add_overrides(CLI::App& command, std::vector<std::string>& overrides);

// A checkpoint file, or of a folder its newest or its best one. Throws UserError if there is none.
std::string find_checkpoint(const std::string& path, bool best);

}  // namespace lockstep::app
