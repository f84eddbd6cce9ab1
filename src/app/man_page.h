// Man pages from the program's own options and the option table.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace lockstep::app {

// name: "lockstep", or a command ("train"). Throws UserError for another name.
std::string man_page(const CLI::App& program, const std::string& name);

}  // namespace lockstep::app
