#include "environment.h"

#include <cstdlib>
#include <optional>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::comm {
namespace {

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

std::optional<long long> number(const char* name) {
  if (!is_set(name)) return std::nullopt;
  const char* text = std::getenv(name);
  char* end = nullptr;
  const long long value = std::strtoll(text, &end, 10);
  if (*end != '\0') return std::nullopt;
  return value;
}

bool under_pmi() {
  return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK");
}

}  // namespace

// A task of srun. The shell of salloc and the script of sbatch have no step, or a step with a
// number above 0xfffffff0, and are plain commands.
bool under_srun() {
  const auto step = number("SLURM_STEP_ID");
  return step && *step < 0xfffffff0LL && is_set("SLURM_PROCID");
}

namespace {

std::optional<long long> started_by_srun() {
  if (!under_srun()) return std::nullopt;
  const auto step_tasks = number("SLURM_STEP_NUM_TASKS");
  return step_tasks ? step_tasks : number("SLURM_NTASKS");
}

constexpr const char* kRemedy =
    "start with srun --mpi=pmix (srun --mpi=list shows what is there) or with mpirun";

}  // namespace

bool launched_by_mpi() { return under_pmi() || under_srun(); }

void check_process_manager() {
  const auto tasks = started_by_srun();
  if (under_pmi() || !tasks || *tasks <= 1) return;
  log::set_speaker(number("SLURM_PROCID").value_or(0) == 0);
  throw UserError(
      "srun started {} processes, but gave MPI no way to find them (no PMIx, no PMI): each would "
      "run alone; {}",
      *tasks, kRemedy);
}

void check_size(int mpi_size) {
  // Under mpirun inside an allocation SLURM_NTASKS speaks of the allocation, not of this start.
  const auto by_mpirun = number("OMPI_COMM_WORLD_SIZE");
  const auto started = by_mpirun ? by_mpirun : started_by_srun();
  if (!started || *started == mpi_size) return;
  throw UserError("{} processes were started, but MPI knows of {}: {}", *started, mpi_size,
                  kRemedy);
}

}  // namespace lockstep::comm
