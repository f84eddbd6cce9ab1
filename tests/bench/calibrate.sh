#!/usr/bin/env bash
# lockstep bench calibrate in a hurry: alone, on 2 ranks, on 2 pretended nodes. Every figure that the plan
# needs is in the file, positive, and the file is read again. Arguments: the program, scripts/mpirun.sh, a
# work folder.
set -euo pipefail
program=$1 mpirun=$2 work=$3
rm -rf "$work" && mkdir -p "$work/files" && cd "$work"
fail() { echo "FAILED: $*"; cat out err 2> /dev/null; exit 1; }
calibrate() {  # FILE, then what starts the program, with its first options
  local file=$1; shift
  "$@" --out "$file" --folder files --seconds 0.002 > out 2> err || fail "exit code $?: $*"
  [ -s "$file" ] || fail "no $file"
  [ -z "$(ls -A files)" ] || fail "files are left: $(ls -A files)"
  grep -qE 'WRONG' out && fail "something was not verified"
  return 0
}
# has FILE TABLE KEY...: positive numbers.
has() {
  local file=$1 table=$2 key value; shift 2
  for key in "$@"; do
    value=$(awk -v table="$table" -v key="$key" '$0 == table {on = 1; next} /^\[/ {on = 0} on && $1 == key {print $3; exit}' "$file")
    [ -n "$value" ] || fail "$file has no $key in $table"
    awk -v x="$value" 'BEGIN {exit !(x + 0 > 0)}' || fail "$file: $table $key = $value"
  done
}

calibrate alone.toml "$program" bench calibrate
has alone.toml '[device]' per_node memory fp32 bf16 memory_bandwidth
has alone.toml '[files]' read write latency
has alone.toml '[[device.rates]]' forward
grep -q 'levels' alone.toml && fail "one rank has nothing between it"
grep -q "measured by lockstep .* bench calibrate on $(hostname)" alone.toml || fail "no source"

calibrate two.toml "$mpirun" -np 2 "$program" bench calibrate
[ "$(grep -c '^ *latency L' out)" = 1 ] || fail "said more than once, or not at all"
has two.toml '[device]' fp32 memory_bandwidth
has two.toml '[[levels]]' latency overhead gap bandwidth flag
[ "$(grep -c '^kernel = "fold"' two.toml)" -ge 4 ] || fail "no rates of adding"
grep -q '^ranks = 2' two.toml || fail "no contention of 2 ranks"

calibrate nodes.toml "$mpirun" -np 2 "$program" bench calibrate --pretend-nodes 0,1
has nodes.toml '[[levels]]' latency overhead gap bandwidth unit_bandwidth
grep -q '^name = "network"' nodes.toml || fail "no network between two nodes"

# What cannot be written is said once, and leaves nothing.
code=0; "$mpirun" -np 2 "$program" bench calibrate --folder absent --seconds 0.002 --out none.toml > out 2> err || code=$?
[ $code = 2 ] || fail "exit code $code"
[ "$(grep -c 'cannot write in absent' err)" = 1 ] || fail "not said once"
[ ! -e none.toml ] || fail "a file of nothing"
echo "calibrate: all as it should be"
