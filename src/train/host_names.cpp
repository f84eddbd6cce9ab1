#include "train/host_names.h"

#include <span>
#include <sstream>

#include "lockstep/core/host.h"

namespace lockstep::train {

std::vector<std::string> host_names(comm::Communicator& communicator) {
  const std::string mine = host_name() + "\n";
  const std::vector<std::byte> all = communicator.gather_all(std::as_bytes(std::span(mine)));
  std::istringstream lines(std::string(reinterpret_cast<const char*>(all.data()), all.size()));
  std::vector<std::string> names;
  for (std::string name; std::getline(lines, name);) names.push_back(name);
  return names;
}

}  // namespace lockstep::train
