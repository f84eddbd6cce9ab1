// What device code calls outside itself: printf and a failed assert.
#pragma once
#include <string>

#include "tests/ptx/thread.h"

namespace lockstep::ptx {

// Arguments and result lie in memory, as PTX passes them. vprintf's second one points to the
// values.
void vprintf(Thread& self, std::uint8_t* result, const std::uint8_t* format,
             const std::uint8_t* values);
[[noreturn]] void assertfail(Thread& self, const std::uint8_t* message, const std::uint8_t* file,
                             const std::uint8_t* line, const std::uint8_t* function,
                             const std::uint8_t* char_bytes);

}  // namespace lockstep::ptx
