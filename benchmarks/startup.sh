#!/usr/bin/env bash
# From the launch of mpirun to a finished first step on two ranks, against an mpirun that starts nothing
# but `true`; alternated, medians. The run also saves and says its digest, so the figure is an upper bound.
#
#   benchmarks/startup.sh run.toml [rounds]
set -euo pipefail
run=${1:?usage: benchmarks/startup.sh run.toml [rounds]}
rounds=${2:-9}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${LOCKSTEP:-$here/../build/bin/lockstep}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seconds() {  # command
  local start=$EPOCHREALTIME
  "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}
median() { sort -g "$1" | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'; }

for ((i = 0; i <= rounds; ++i)); do
  empty=$(seconds "$here/../scripts/mpirun.sh" -np 2 true)
  first=$(seconds "$here/../scripts/mpirun.sh" -np 2 "$program" train "$run" --stop-after 1 --set checkpoint.dir=)
  [ "$i" -eq 0 ] || { echo "$empty" >> "$work/empty"; echo "$first" >> "$work/first"; }  # round 0 warms up
done
echo "mpirun -np 2 true: $(median "$work/empty") s; lockstep train --stop-after 1: $(median "$work/first") s"
