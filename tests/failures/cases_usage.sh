# What a run says it has used. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

# A run is killed and goes on: usage.json, the end report and the figures for Prometheus agree with
# what is computed anew.
case_usage() {
  local gauges=$folder/run.prom
  # Each of a rank's lanes takes 5 ms at least: rank 0 has four of two ranks', and all eight alone.
  LOCKSTEP_FAULT="slow rank=0 at=forward ms=5; kill rank=1 at=forward step=26" \
    train 2 "checkpoint.dir=$folder/run" data.val= log.window=1
  [ "$status" = 137 ] || fail "exit code $status, expected 137 of a killed rank"
  LOCKSTEP_FAULT="slow rank=0 at=forward ms=5" \
    train 1 "checkpoint.dir=$folder/run" data.val= log.window=1 "log.prometheus=$gauges" log.every=0.01 --resume &
  # Whoever reads it meanwhile sees a whole file.
  local reads=0
  while kill -0 $! 2> /dev/null; do
    [ ! -e "$gauges" ] || { "$here/prometheus.py" "$gauges" "$folder/run" > "$folder/read.txt" 2>&1 ||
      fail "$(cat "$folder/read.txt")"; reads=$((reads + 1)); }
  done
  wait $!
  [ $reads -gt 0 ] || fail "the file for Prometheus was not there while the run went on"
  PYTHONPATH=$here /usr/bin/python3 "$here/usage.py" "$folder/run" 0.02 "$out" "$gauges" || fail "usage"
  "$program" inspect "$folder/run" > "$folder/inspect.txt"
  grep -q 'goodput .*2 attempts' "$folder/inspect.txt" || fail "inspect does not say what was used"
  no_leftovers "$folder"
}
# A record that cannot be written or read costs a warning, not the run; --overwrite begins a new one.
case_usage_in_trouble() {
  train 2 "checkpoint.dir=$folder/run" --stop-after=10 "log.prometheus=$folder/absent/run.prom"
  succeeds
  [ "$(grep -c "^lockstep: warning: .*absent/run.prom.*goes on without" "$err")" = 1 ] || fail "not one warning"
  printf '{"attempts": [' > "$folder/run/usage.json"
  train 2 "checkpoint.dir=$folder/run" --resume
  succeeds
  [ "$(grep -c "^lockstep: warning: .*usage.json is no record.*begins anew" "$err")" = 1 ] || fail "not one warning"
  [ "$(cat "$folder/run/usage.json.damaged")" = '{"attempts": [' ] || fail "the old record is lost"
  grep -q 'goodput' "$out" || fail "no goodput is said"
  train 2 "checkpoint.dir=$folder/run" --overwrite
  succeeds
  [ "$(grep -c '"started"' "$folder/run/usage.json")" = 1 ] || fail "--overwrite kept attempts of another run"
  cp "$folder/run/usage.json" "$folder/before.json"
  train 2 "checkpoint.dir=$folder/run" --resume  # nothing is left to do, and nothing was used
  succeeds
  cmp "$folder/run/usage.json" "$folder/before.json" || fail "a run that was over has another attempt"
  train 2
  succeeds
  grep -q 'goodput' "$out" || fail "no goodput is said without a folder"
}
