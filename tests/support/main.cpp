// main of the test programs that run on one process.
#include <gtest/gtest.h>

#include "lockstep/core/isa.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  lockstep::set_float_environment();
  return RUN_ALL_TESTS();
}
