// Runs this test program again in an environment of its own, for what a process can only have once:
// OMP_NUM_THREADS and the cap of the instruction set.
#pragma once
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "lockstep/core/isa.h"

namespace lockstep::ops {

struct ChildResult {
  int status = -1;
  std::string output;
};

// environment: "NAME=value ..." or ""; filter: which tests.
inline ChildResult run_again(const std::string& environment, const std::string& filter) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command =
      "env " + environment + " '" + self + "' --gtest_filter='" + filter + "' 2>&1";
  ChildResult result;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  char line[4096];
  while (std::fgets(line, sizeof line, pipe) != nullptr) result.output += line;
  result.status = ::pclose(pipe);
  return result;
}

// A child that is told LOCKSTEP_TEST_ISA is capped before its first test.
class CapIsa : public testing::Environment {
 public:
  void SetUp() override {
    if (const char* cap = std::getenv("LOCKSTEP_TEST_ISA")) cap_isa(isa_from(cap));
  }
};
inline const auto* const kCapIsa = testing::AddGlobalTestEnvironment(new CapIsa);

// All tests of this program but the named one pass on lower instruction sets, oneDNN's included.
inline void expect_to_pass_when_capped(const std::string& except) {
  for (const Isa cap : {Isa::kAvx2, Isa::kPlain}) {
    if (cap >= isa()) continue;
    const ChildResult child =
        run_again("LOCKSTEP_TEST_ISA=" + std::string(name_of(cap)), "-" + except);
    EXPECT_EQ(child.status, 0) << name_of(cap) << "\n" << child.output;
    EXPECT_NE(child.output.find("PASSED"), std::string::npos);
  }
}

}  // namespace lockstep::ops
