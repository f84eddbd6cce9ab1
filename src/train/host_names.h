// Which host each rank runs on. Collective.
#pragma once
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"

namespace lockstep::train {

std::vector<std::string> host_names(comm::Communicator& communicator);  // by position

}  // namespace lockstep::train
