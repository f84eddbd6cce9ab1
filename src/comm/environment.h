// What the launcher left in the environment: how many processes it started and which one this is.
// Never touches MPI.
#pragma once

namespace lockstep::comm {

// A task of srun, and no shell of salloc or sbatch.
bool under_srun();

// Throws UserError when srun started several processes without a PMI that MPI understands: each
// would believe to be rank 0 of 1. Called before MPI_Init, which may abort on its own account.
void check_process_manager();

// Throws UserError with the remedy if MPI's size is not the number of processes that were started.
void check_size(int mpi_size);

}  // namespace lockstep::comm
