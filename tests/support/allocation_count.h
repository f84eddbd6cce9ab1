// How often this test program has called operator new; linking it replaces the operator.
#pragma once
#include <cstdint>

namespace lockstep::test {

std::int64_t allocation_count();

}  // namespace lockstep::test
