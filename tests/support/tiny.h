// Which shapes a test takes: the race check makes kernels slow, 300 times. LOCKSTEP_TINY
// names the checker (cmake/Emulation.cmake); nothing here knows what is tested.
#pragma once
#include <cstdlib>
#include <string_view>
#include <vector>

namespace lockstep {

// Under either checker.
inline bool checked() { return std::getenv("LOCKSTEP_TINY") != nullptr; }
// Under the race check.
inline bool tiny() { return checked() && std::getenv("LOCKSTEP_TINY") == std::string_view("race"); }

// few: enough for every kernel, in more than one block and more than one warp.
template <class T>
std::vector<T> shapes_to_try(std::vector<T> all, std::vector<T> few) {
  return tiny() ? few : all;
}

}  // namespace lockstep
