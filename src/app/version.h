// What `lockstep --version` says.
#pragma once
#include <string>

namespace lockstep::app {

std::string version_text();

}  // namespace lockstep::app
