// What `lockstep --version` says.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace lockstep::app {

std::string version_text();
std::string version_number();  // with its commit, "0.1.0 (abc)"
// What the environment of a run records of them, {"onednn", "2.6.3"}.
std::vector<std::pair<std::string, std::string>> library_versions();

}  // namespace lockstep::app
