# What ranks leave of their last moments, and ranks that are slow. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

with_fault() {  # FAULT RANKS OVERRIDES...
  export LOCKSTEP_FAULT=$1
  shift
  train "$@"
  unset LOCKSTEP_FAULT
}
shows() {  # file, pattern...
  local file=$1
  shift
  for pattern in "$@"; do grep -qE -- "$pattern" "$file" || fail "$file does not say '$pattern': $(cat "$file")"; done
}
timeline() {  # folder, ranks: text into text.txt, what goes on into open.txt
  "$program" trace "$1" > "$folder/text.txt" || fail "trace: $?"
  "$program" -q trace "$1" --out "$folder/trace.json" || fail "trace --out: $?"
  /usr/bin/python3 "$here/check_trace.py" "$folder/trace.json" "$2" > "$folder/open.txt" 2>&1 ||
    fail "the timeline: $(cat "$folder/open.txt")"
}

case_trace_of_a_kill() {
  local run=$folder/run
  with_fault "kill rank=1 at=fold step=12" 3 "checkpoint.dir=$run" data.val= run.threads=2
  [ "$status" = 137 ] || fail "exit code $status, expected 137"
  timeline "$run" 3
  shows "$folder/open.txt" '^1 training step @12 > the fold @12$' '^0 .*waiting for .*@12$' '^2 .*waiting for .*@12$'
  shows "$folder/text.txt" '^3 of 3 ranks' 'rank 1 \(.*\) did not wait' 'rank 1 was in training step > the fold'
  # The rings of that attempt are set aside, and stay there when the next one ends well.
  train 2 "checkpoint.dir=$run" data.val= --resume
  succeeds
  [ ! -e "$run/events" ] || fail "rings are left after a clean end"
  timeline "$run/events-before" 3
  run 0 trace "$run"
  says 2 'no rings' 'events-before'
  # Damage is said with the file's name, and one half-written record is left out.
  local ring=$run/events-before/rank-0001.ring
  cp "$ring" "$folder/whole.ring"
  truncate -s 10000 "$ring"
  run 0 trace "$run/events-before"
  says 3 'rank-0001\.ring' 'damaged'
  echo nonsense > "$ring"
  run 0 trace "$run/events-before"
  says 3 'rank-0001\.ring' 'no ring'
  cp "$folder/whole.ring" "$ring"
  rm "$run/events-before/rank-0002.ring"
  "$program" trace "$run/events-before" > "$folder/text.txt"
  shows "$folder/text.txt" 'there is no ring of rank 2'
}
case_trace_of_a_stop() {
  with_fault "stop rank=2 at=forward step=7" 3 "checkpoint.dir=$folder/run" data.val= run.watchdog=2
  [ "$status" = 74 ] || fail "exit code $status, expected 74"
  shows "$err" "missing: rank 2 .*lockstep trace $folder/run/events"
  timeline "$folder/run" 3
  shows "$folder/text.txt" 'found rank 2 missing at step 7' 'rank 2 \(.*\) did not wait' \
    'rank 2 was in training step > lane [0-9]+, and its last sign of life was [2-9].* s before'
  # Without a folder, and without events, the sentence sends nobody anywhere.
  with_fault "stop rank=2 at=forward step=7" 3 data.val= run.watchdog=1
  ! grep -q 'lockstep trace' "$err" || fail "there is nothing to trace"
  with_fault "stop rank=2 at=forward step=7" 3 "checkpoint.dir=$folder/none" data.val= run.watchdog=1 log.events=0
  ! grep -q 'lockstep trace' "$err" || fail "there is nothing to trace"
  [ ! -e "$folder/none/events" ] || fail "log.events = 0 makes rings"
}
case_trace_of_a_crash() {
  start_long 2
  kill -SEGV "${ranks[1]}"
  finished
  [ "$status" = 139 ] || fail "exit code $status, expected 139"
  [ "$(grep -ac 'crashed' "$err")" = 1 ] || fail "one sentence was expected"
  local sentence
  sentence=$(grep -ao 'lockstep: rank 1 (host .*' "$err")
  grep -qE "crashed \(SIGSEGV\) in .* at step [0-9]+; its last events: lockstep trace $folder/run/events" \
    <<< "$sentence" || fail "the sentence: $sentence"
  timeline "$folder/run" 2
  shows "$folder/text.txt" 'rank 1 \(.*\) crashed \(SIGSEGV\) at step'
}
# A rank is named once, with what it is slow at; nobody else is.
case_slow_rank() {
  local expected
  while read -r -u 3 ranks at nodes; do
    with_fault "slow rank=1 at=$at step=1 ms=12" "$ranks" log.window=5 train.steps=110 data.val= \
      "checkpoint.dir=$folder/run" --overwrite "parallel.pretend_nodes=$nodes"
    succeeds
    expected='getting its samples'
    [ "$at" = data ] || expected='computing, and had a core for'
    shows "$err" "rank 1 \(host .*\) is slow: .* $expected"
    shows "$folder/run/metrics.jsonl" '"event":"slow rank","why":"rank 1 '
    shows "$out" '^  step [0-9]+: rank 1 .* is slow'
    [ "$(grep -c 'is slow' "$err")" = 1 ] || fail "named more than once"
    echo "ok: $ranks ranks, nodes '$nodes': $(grep -o 'rank 1 (.*' "$err")"
  done 3<<< $'2 data\n2 forward 0,1\n3 forward\n4 data 0,0,1,1'
}
