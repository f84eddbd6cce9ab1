// What the lanes of a warp do together: shuffles, votes, reductions. A value that PTX leaves
// undefined (of a lane outside the mask) is all ones.
#pragma once
#include "tests/ptx/thread.h"

namespace lockstep::ptx {

enum class Shuffle { kUp, kDown, kButterfly, kIndex };
struct Shuffled {
  std::uint32_t value;
  bool valid;  // the source lane is within the segment
};
// control: the segment's mask in bits 8 to 12, the clamp in bits 0 to 4, as in shfl.sync's operand
// c.
Shuffled shuffle(Thread& self, Shuffle kind, std::uint32_t value, std::uint32_t lane,
                 std::uint32_t control, std::uint32_t mask, const char* at);

std::uint32_t ballot(Thread& self, std::uint32_t mask, bool vote, const char* at);
// The lanes that brought the same value; all: all lanes of the mask, or none.
std::uint32_t match(Thread& self, std::uint32_t mask, std::uint64_t value, bool all,
                    const char* at);

enum class Reduction { kAdd, kMin, kMax, kMinSigned, kMaxSigned, kAnd, kOr, kXor };
std::uint32_t redux(Thread& self, Reduction kind, std::uint32_t mask, std::uint32_t value,
                    const char* at);

}  // namespace lockstep::ptx
