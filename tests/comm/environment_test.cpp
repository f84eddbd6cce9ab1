#include "comm/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <string>
#include <utility>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

// What launchers leave behind, for the life of the object; everything else of theirs is unset.
class Launcher {
 public:
  Launcher(const Launcher&) = delete;
  Launcher(std::initializer_list<std::pair<const char*, const char*>> variables) {
    for (const char* name : kNames) ::unsetenv(name);
    for (const auto& [name, value] : variables) ::setenv(name, value, 1);
  }
  ~Launcher() {
    for (const char* name : kNames) ::unsetenv(name);
  }

 private:
  static constexpr const char* kNames[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",    "PMI_RANK",
                                           "SLURM_STEP_ID",        "SLURM_PROCID", "SLURM_NTASKS",
                                           "SLURM_STEP_NUM_TASKS"};
};

TEST(LaunchedByMpi, is_false_for_a_plain_command) {
  const Launcher plain({});
  EXPECT_FALSE(launched_by_mpi());
  const auto self = make_communicator({});
  EXPECT_EQ(self->size(), 1);
}

TEST(LaunchedByMpi, is_false_in_the_script_of_sbatch_and_the_shell_of_salloc) {
  const Launcher script({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}});
  EXPECT_FALSE(launched_by_mpi());
  const Launcher shell(
      {{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "4294967290"}, {"SLURM_NTASKS", "4"}});
  EXPECT_FALSE(launched_by_mpi());
}

TEST(LaunchedByMpi, is_true_under_mpirun_and_srun) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    const Launcher launcher({{name, "2"}});
    EXPECT_TRUE(launched_by_mpi()) << name;
  }
  const Launcher srun({{"SLURM_PROCID", "1"}, {"SLURM_STEP_ID", "0"}});
  EXPECT_TRUE(launched_by_mpi());
}

std::string refusal(void (*check)()) {
  try {
    check();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Singletons, are_refused_before_mpi_when_srun_gave_no_process_manager) {
  const Launcher srun({{"SLURM_PROCID", "1"}, {"SLURM_STEP_ID", "0"}, {"SLURM_NTASKS", "4"}});
  const std::string sentence = refusal([] { make_communicator({}); });
  EXPECT_NE(sentence.find("srun started 4 processes"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("srun --mpi=pmix"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("mpirun"), std::string::npos) << sentence;
}

TEST(Singletons, are_refused_when_mpi_knows_of_fewer_processes_than_started) {
  const Launcher srun({{"PMI_RANK", "0"},
                       {"SLURM_PROCID", "0"},
                       {"SLURM_STEP_ID", "3"},
                       {"SLURM_NTASKS", "9"},
                       {"SLURM_STEP_NUM_TASKS", "4"}});
  EXPECT_NE(refusal([] { check_size(1); }).find("4 processes were started, but MPI knows of 1"),
            std::string::npos);
  EXPECT_EQ(refusal([] { check_size(4); }), "");
}

TEST(Singletons, mpirun_inside_an_allocation_goes_by_its_own_count) {
  const Launcher launcher(
      {{"OMPI_COMM_WORLD_SIZE", "2"}, {"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}});
  EXPECT_EQ(refusal([] { check_size(2); }), "");
  EXPECT_NE(refusal([] { check_size(1); }), "");
}

}  // namespace
}  // namespace lockstep::comm
