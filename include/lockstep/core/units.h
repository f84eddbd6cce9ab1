// Numbers as people read them.
#pragma once
#include <cstdint>
#include <string>

namespace lockstep {

std::string bytes_text(double bytes);      // "1.50 MiB"
std::string seconds_text(double seconds);  // "1.2 ms", "3 min 20 s"
std::string count_text(double count);      // "1.86 M"

}  // namespace lockstep
