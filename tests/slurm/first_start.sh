#!/usr/bin/env bash
# Stands for the program in a job: a failure on purpose is for the job's first start alone, and each rank says what
# it sees of GPUs. TESTED names the program.
[ "${SLURM_RESTART_COUNT:-0}" = 0 ] || unset LOCKSTEP_FAULT
if [ "$1" = train ]; then
  echo "rank ${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-?}} on ${SLURMD_NODENAME:-?}: GPUs ${CUDA_VISIBLE_DEVICES-none}"
fi
exec "$TESTED" "$@"
