// This machine's name, for messages.
#pragma once
#include <string>

namespace lockstep {

std::string host_name();  // "unknown" if the system does not say

}  // namespace lockstep
