#!/usr/bin/env bash
# What of slurm/ can be seen without a Slurm: the shell can read the scripts, the lines that three of them share are
# the same, and without Slurm they say what they are for.
set -euo pipefail
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../slurm" && pwd)
unset SLURM_JOB_ID
status=0
fail() { echo "FAILED: $*"; status=1; }

common() { sed -n '/^# ---- From here/,/^# ---- End mark/p' "$scripts/$1.sbatch"; }
[ "$(common train | wc -l)" -gt 50 ] || fail "train.sbatch has no common lines"
for script in train preemptible array; do
  bash -n "$scripts/$script.sbatch" || fail "$script.sbatch"
  diff <(common train) <(common $script) || fail "$script.sbatch differs from train.sbatch in the common lines"
  if said=$(bash "$scripts/$script.sbatch" run.toml 2>&1); then fail "$script.sbatch ran without Slurm"; fi
  [[ $said == *"submit it: sbatch"* ]] || fail "$script.sbatch says '$said'"
done
if said=$(bash "$scripts/scaling.sbatch" 2>&1); then fail "scaling.sbatch ran without a run file"; fi
[[ $said == *"no run file was named"* ]] || fail "scaling.sbatch says '$said'"
if said=$(bash "$scripts/bench.sbatch" "$0" 2>&1); then fail "bench.sbatch ran without Slurm"; fi
[[ $said == *"submit it: sbatch"* ]] || fail "bench.sbatch says '$said'"
exit $status
