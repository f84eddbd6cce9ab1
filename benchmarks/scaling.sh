#!/usr/bin/env bash
# Strong and weak scaling of a run file over 1..N ranks on this machine, as CSV with efficiencies.
#
#   benchmarks/scaling.sh run.toml [N] > scaling.csv
#
# Strong: the run's batch over all ranks. Weak: batch and lanes grow with the ranks. STEPS (default 60)
# steps each; LOCKSTEP names the program. Every count is run twice, the faster one counts.
set -euo pipefail
run=${1:?usage: benchmarks/scaling.sh run.toml [most ranks]}
most=${2:-$(nproc)}
steps=${STEPS:-60}
program=${LOCKSTEP:-$(dirname "${BASH_SOURCE[0]}")/../build/bin/lockstep}
launch=$(dirname "${BASH_SOURCE[0]}")/../scripts/mpirun.sh

setting() { "$program" config "$run" | sed -n "/^\[train\]/,/^\[/s/^$1 = //p"; }
batch=$(setting batch)
lanes=$(setting lanes)

# Samples per second of one run.
rate() {  # ranks batch lanes
  local best=0 now
  for _ in 1 2; do
    now=$("$launch" -np "$1" "$program" train "$run" --stop-after "$steps" --set checkpoint.dir= \
            --set "train.batch=$2" --set "train.lanes=$3" --set train.evaluate_every=0 |
          sed -n 's/.*[^0-9.]\([0-9][0-9.]*\) samples\/s.*/\1/p' | tail -n 1)
    best=$(awk -v a="$best" -v b="${now:?no rate in the output}" 'BEGIN { print (b > a ? b : a) }')
  done
  echo "$best"
}

echo "mode,ranks,batch,lanes,samples_per_second,speedup,efficiency"
for mode in strong weak; do
  base=
  for ((ranks = 1; ranks <= most; ranks *= 2)); do
    scale=$([ $mode = weak ] && echo "$ranks" || echo 1)
    now=$(rate "$ranks" $((batch * scale)) $((lanes * scale)))
    base=${base:-$now}
    awk -v m=$mode -v r="$ranks" -v b=$((batch * scale)) -v l=$((lanes * scale)) -v n="$now" -v o="$base" \
      'BEGIN { printf "%s,%d,%d,%d,%.1f,%.3f,%.3f\n", m, r, b, l, n, n / o, n / o / r }'
  done
done
