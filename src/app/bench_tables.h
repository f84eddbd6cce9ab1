// lockstep bench kernels | comm | data | step | scaling: what prints a table.
#pragma once
#include "app/commands.h"

namespace lockstep::app {

void add_bench_tables(CLI::App& bench, Action& action);

}  // namespace lockstep::app
