// Failures that the environment asks for (README.md): of work that runs, and of launches.
#pragma once
#include <string>

namespace lockstep::emulation {

// Counts the runs of what FAIL names; true at the one that is to fail.
bool fails_now(const std::string& name);
// The same of launches and REFUSE.
bool refused_now(const std::string& name);

}  // namespace lockstep::emulation
