#!/usr/bin/env bash
# A stopped rank ends the run within the watchdog's limit, with exit code 74 and one sentence that
# names the rank, what was awaited and the step; on a node and between pretended nodes.
set -uo pipefail
mpirun_script=$1
program=$2
failures=0

check() {  # check RANKS NODES STOPPED EXPECTED-IN-THE-SENTENCE...
  local ranks=$1 nodes=$2 stopped=$3 output code start elapsed
  shift 3
  start=$(date +%s)
  output=$("$mpirun_script" -np "$ranks" "$program" 2 "$nodes" "$stopped" 2>&1)
  code=$?
  elapsed=$(($(date +%s) - start))
  local said
  said=$(grep -c 'lockstep: rank' <<<"$output")
  local sentence
  sentence=$(grep 'lockstep: rank' <<<"$output")
  echo "nodes '$nodes': exit $code after $elapsed s: $sentence"
  [[ $code -eq 74 ]] || { echo "FAILED: exit code $code"; failures=1; }
  [[ $said -eq 1 ]] || { echo "FAILED: said $said times"; echo "$output"; failures=1; }
  [[ $elapsed -le 12 ]] || { echo "FAILED: took $elapsed s"; failures=1; }
  for expected in "missing: rank $stopped (host $(hostname)" "of step 12" "$@"; do
    [[ $sentence == *"$expected"* ]] || { echo "FAILED: no '$expected'"; failures=1; }
  done
  local others
  others=$(grep -o 'missing: .*' <<<"$sentence" | grep -c ', rank')
  [[ $others -eq 0 ]] || { echo "FAILED: names ranks that are there"; failures=1; }
}

check 3 "" 1 "bucket 0" "last seen in backward at step 12"
check 4 "0,0,1,1" 3 "bucket"
check 3 "0,1,2" 0 "bucket 0"
exit $failures
