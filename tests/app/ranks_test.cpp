// Under mpirun everything is said once, and mpirun ends with the documented exit code.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "app/program.h"
#include "lockstep/core/files.h"

namespace lockstep::app_tests {
namespace {

TEST(UnderMpirun, a_command_without_ranks_is_done_once) {
  for (const std::string arguments :
       {std::string("--help"), std::string("--version"), "config " + run_file(),
        "inspect " + dataset(), std::string("train --help")}) {
    const Outcome alone = lockstep(arguments);
    const Outcome both = lockstep(arguments, 2);
    EXPECT_EQ(both.code, 0) << arguments;
    EXPECT_EQ(both.out, alone.out) << arguments;
    EXPECT_EQ(both.err, "") << arguments;
  }
}

TEST(UnderMpirun, a_refusal_is_said_once_with_its_exit_code) {
  write("bad.toml", "[train]\nbacth = 3\n");
  write("nodata.toml", "[data]\npath = \"x.h5\"\n[model]\npreset = \"mlp\"\n");
  const struct {
    std::string arguments;
    int code;
    const char* sentence;
  } cases[] = {
      {"trian", 2,
       "lockstep: 'trian' is not expected here; did you mean train? see lockstep --help\n"},
      {"config bad.toml", 2,
       "lockstep: bad.toml:2: unknown key train.bacth; did you mean train.batch?\n"},
      {"train bad.toml", 2,
       "lockstep: bad.toml:2: unknown key train.bacth; did you mean train.batch?\n"},
      {"train nodata.toml", 2, "x.h5"},
      {"train missing.toml", 2, "lockstep: cannot read missing.toml: No such file or directory\n"},
      {"eval missing", 2,
       "lockstep: there is no missing; name a checkpoint, or a folder of checkpoints\n"},
      {"train " + run_file() + " --set train.lanes=1", 2, "lanes"},
      {"train " + run_file() + " --set parallel.pretend_nodes=0", 2, "parallel.pretend_nodes"},
  };
  for (const auto& c : cases) {
    const Outcome o = lockstep(c.arguments, 2);
    EXPECT_EQ(o.code, c.code) << c.arguments << "\n" << o.err;
    EXPECT_NE(o.err.find(c.sentence), std::string::npos) << c.arguments << "\n" << o.err;
    EXPECT_EQ(count(o.err, "lockstep: "), 1) << c.arguments << "\n" << o.err;
  }
}

// Each rank gets a run file of its own, as on nodes that do not share a file system.
Outcome train_with_own_files() {
  return shell(std::string("'") + LOCKSTEP_MPIRUN + "' -np 2 bash -c 'exec \"" + LOCKSTEP_PROGRAM +
               "\" train own$OMPI_COMM_WORLD_RANK.toml'");
}

TEST(UnderMpirun, ranks_must_read_the_same_run) {
  const std::string text = read_file(folder() / run_file());
  write("own0.toml", text);
  std::filesystem::remove(folder() / "own1.toml");
  Outcome o = train_with_own_files();
  EXPECT_EQ(o.code, 2) << o.err;
  EXPECT_EQ(count(o.err, "lockstep: cannot read own1.toml: No such file or directory"), 1) << o.err;
  EXPECT_EQ(count(o.err, "lockstep: "), 1) << o.err;

  write("own1.toml", text + "[run]\nwatchdog = 77\n");
  o = train_with_own_files();
  EXPECT_EQ(o.code, 2) << o.err;
  EXPECT_EQ(count(o.err, "is not the same on rank 1 as on rank 0"), 1) << o.err;
  EXPECT_EQ(count(o.err, "lockstep: "), 1) << o.err;
}

TEST(UnderMpirun, an_error_that_one_rank_finds_is_said_once_and_ends_all) {
  std::string bytes = read_file(folder() / dataset());
  const float marker = 12345.678F, nan = std::numeric_limits<float>::quiet_NaN();
  char pattern[sizeof marker];
  std::memcpy(pattern, &marker, sizeof marker);
  const std::size_t at = bytes.find(std::string(pattern, sizeof pattern));
  ASSERT_NE(at, std::string::npos);
  std::memcpy(bytes.data() + at, &nan, sizeof nan);
  write("nan.h5", bytes);
  for (const int ranks : {0, 2}) {
    const Outcome o = lockstep("train " + run_file() + " --set data.path=nan.h5", ranks);
    EXPECT_EQ(o.code, 3) << o.err;
    EXPECT_EQ(count(o.err, "lockstep: "), 1) << o.err;
    EXPECT_NE(o.err.find("nan.h5"), std::string::npos) << o.err;
  }
}

}  // namespace
}  // namespace lockstep::app_tests
