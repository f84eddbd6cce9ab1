// Completion for bash from the program's own options and the option table.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace lockstep::app {

std::string bash_completion(const CLI::App& program);

}  // namespace lockstep::app
