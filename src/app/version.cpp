#include "app/version.h"

#include <fmt/format.h>

#include "lockstep/core/isa.h"
#include "lockstep/version.h"

namespace lockstep::app {

std::string version_text() {
  return fmt::format(
      "lockstep {} ({})\n"
      "compiler  {}, {}\n"
      "MPI       {}\n"
      "HDF5      {}\n"
      "oneDNN    {}\n"
      "CUDA      {}\n"
      "CPU       {}, {}",
      kVersion, kCommit, kCompiler, kBuildType, kMpi, kHdf5, kOneDnn, kCuda, cpu_model(),
      name_of(detected_isa()));
}

std::string version_number() { return fmt::format("{} ({})", kVersion, kCommit); }

std::vector<std::pair<std::string, std::string>> library_versions() {
  return {{"mpi", kMpi}, {"onednn", kOneDnn}, {"compiler", kCompiler}};
}

}  // namespace lockstep::app
