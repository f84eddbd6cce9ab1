// lockstep: trains neural networks from HDF5 data, with the same bits on any number of ranks.
#include "app/command_line.h"
#include "app/ranks.h"
#include "lockstep/core/isa.h"

int main(int argc, char** argv) {
  lockstep::set_float_environment();
  lockstep::app::Ranks ranks;
  try {
    return static_cast<int>(lockstep::app::run_command_line(argc, argv, ranks));
  } catch (const std::exception& error) {
    return ranks.fail(error);
  }
}
