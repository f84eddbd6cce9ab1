#!/usr/bin/env bash
# mpirun for tests: allows root and more ranks than cores, and makes waiting ranks yield.
set -euo pipefail
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none
# Two mpiruns at once may collide in the session folder: give each its own.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/lockstep.XXXXXX"); export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
mpirun "$@"
