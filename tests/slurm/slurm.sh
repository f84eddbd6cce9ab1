#!/usr/bin/env bash
# The scripts of slurm/ as jobs on a real Slurm, the lab: all cases at once in one lab, as most of them wait.
# Arguments: the program, a work folder, the cases (all but those named _long). ROUNDS=3 runs all of them 3 times.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$(realpath "$1") work=$2
shift 2
rm -rf "$work"
mkdir -p "$work"
cd "$work" && work=$PWD
export TESTED=$program LOCKSTEP=$here/first_start.sh LOCKSTEP_BIND=none
unset SLURM_LAB_DIR LOCKSTEP_FAULT LOCKSTEP_LAUNCHER LOCKSTEP_MPI LOCKSTEP_TRIES LOCKSTEP_SETUP LOCKSTEP_SETTINGS
# shellcheck source=jobs.sh
source "$here/jobs.sh"
for cases in launch again alone; do
  # shellcheck source=/dev/null
  source "$here/cases_$cases.sh"
done
mapfile -t all < <(declare -F | sed -n 's/^declare -f case_//p')
if [ $# = 0 ]; then
  for case in "${all[@]}"; do
    if [[ $case != *_long || -n ${ROUNDS:-} ]]; then set -- "$@" "$case"; fi
  done
fi

/usr/bin/python3 "$here/../contract/make_idx.py" .
"$program" --quiet import --format idx --train images.idx labels.idx --out small.h5
cp "$here/run.toml" .
# shellcheck disable=SC2119
undisturbed=$(digest_alone)
echo "undisturbed: $undisturbed"

export SLURM_LAB_NODES=10 SLURM_LAB_CPUS=8
lab=$("$here/lab" up) || exit 1
eval "$lab"
trap '"$here/lab" down > /dev/null' EXIT
trap 'exit 130' INT TERM
status=0
for round in $(seq "${ROUNDS:-1}"); do
  for case in "$@"; do
    mkdir -p "$round/$case"
    (
      trap 'echo $? > "$work/$round/$case.status"' EXIT
      cd "$round/$case"
      "case_$case"
    ) > "$round/$case.log" 2>&1 &
  done
  wait
  for case in "$@"; do
    [ "$(cat "$round/$case.status")" = 0 ] || { status=1; echo "FAILED: $case"; }
    sed "s/^/$case: /" "$round/$case.log"
  done
done
exit $status
