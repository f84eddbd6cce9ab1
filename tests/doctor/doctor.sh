#!/usr/bin/env bash
# lockstep doctor as people start it: alone, under mpirun, with what it must find. Arguments: the program,
# scripts/mpirun.sh, a work folder.
set -euo pipefail
program=$1 mpirun=$2 work=$3
rm -rf "$work" && mkdir -p "$work/shared" && cd "$work"
fail() { echo "FAILED: $*"; cat out err 2> /dev/null; exit 1; }
# doctor CODE PATTERN... -- command: exit code, and lines that must be there.
doctor() {
  local code=$1 status=0 patterns=()
  shift
  while [ "$1" != -- ]; do patterns+=("$1"); shift; done
  shift
  "$@" > out 2> err || status=$?
  [ "$status" = "$code" ] || fail "exit code $status, expected $code: $*"
  for pattern in "${patterns[@]}"; do grep -qE "$pattern" out || fail "no line '$pattern': $*"; done
  [ -z "$(ls -A shared)" ] || fail "files are left: $(ls -A shared)"
}

doctor 0 '^pass  launch +one process' '^pass  files' '^pass  HDF5 .*deflate' ' 0 failed$' -- "$program" doctor --folder shared
doctor 0 '^pass  launch +3 ranks on 1 node by mpirun; Open MPI' '(pass|warn)  in a node' '^(pass|warn)  cores' -- \
  "$mpirun" -np 3 "$program" doctor --folder shared
grep -q '  network' out && fail "one node has no network between nodes"
[ "$(grep -c launch out)" = 1 ] || fail "said more than once"

# Two ranks on one core of a machine that has more are named.
if [ "$(nproc --all)" -gt 1 ]; then
  doctor 1 '^fail  cores +on .* ranks 0, 1 with 2 threads share core' 'try: .*--cpu-bind=cores' -- \
    "$mpirun" -np 2 taskset -c 0 "$program" doctor --folder shared
fi
# What srun does with the wrong PMI.
doctor 1 '^fail  launch +srun started 2 processes.*srun --mpi=pmix' -- env SLURM_JOB_ID=1 SLURM_STEP_ID=0 SLURM_PROCID=0 \
  SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2 "$program" doctor --folder shared
doctor 1 '^fail  files .*rank 0 .*cannot write in .*: No such file' -- "$mpirun" -np 2 "$program" doctor --folder absent

# A run file says what the run needs.
cat > run.toml <<'TOML'
[data]
path = "nowhere.h5"
[train]
lanes = 2
batch = 32
[checkpoint]
dir = "shared/runs/one"
TOML
doctor 1 '^fail  data .*nowhere.h5' '^fail  launch .*train.lanes = 2' 'files +.* in shared' -- "$mpirun" -np 3 "$program" doctor run.toml
doctor 2 -- "$program" doctor --set train.lanes=2
doctor 2 -- "$program" doctor absent.toml
echo "doctor: all as it should be"
