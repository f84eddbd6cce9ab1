// The command line as a whole: parses it and runs the chosen command.
#pragma once
#include "app/ranks.h"

namespace lockstep::app {

ExitCode run_command_line(int argc, char** argv, Ranks& ranks);

}  // namespace lockstep::app
