# Bad numbers, on purpose: steps that are left out or rolled back, spikes, and copies that differ. The same
# digest on any number of ranks, for what befalls a lane and not a rank. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

counted() { grep -c "\"event\":\"$2\"" "$1/metrics.jsonl" || true; }  # folder, event
without_times() { sed -E 's/,?"time":\{[^}]*\}//' "$1/metrics.jsonl"; }
# Ways to run the same training; sets ways to "ranks overrides".
all_ways() {
  ways=("0" "2" "3 parallel.pretend_nodes=0,1,1" "3 parallel.strategy=sharded parallel.stage=1"
        "2 parallel.strategy=sharded parallel.stage=2" "3 parallel.strategy=sharded parallel.stage=3"
        "3 parallel.strategy=server")
}

case_nonfinite_skip() {
  local ways way reference usual arguments
  train 0 train.steps=20
  succeeds
  usual=$(digest)
  train 2 train.steps=20 train.on_nonfinite=skip
  same "$usual" "$(digest)" "a policy that has nothing to do"
  export LOCKSTEP_FAULT="nan at=gradient lane=3 step=5; nan at=gradient lane=0 step=6"
  all_ways
  for way in "${ways[@]}"; do
    rm -rf "$folder/run"
    read -ra arguments <<< "$way"
    train "${arguments[@]}" train.steps=20 train.on_nonfinite=skip train.max_skips=2 "checkpoint.dir=$folder/run"
    succeeds
    grep -q 'bad numbers: 2 updates left out' "$out" || fail "the report does not count them"
    [ "$(grep -c 'not finite; its update was left out' "$err")" = 2 ] || fail "expected two warnings"
    [ "$(counted "$folder/run" skipped)" = 2 ] || fail "expected two lines in metrics.jsonl"
    : "${reference:=$(digest)}"
    same "$reference" "$(digest)" "$way"
  done
  [ "$reference" != "$usual" ] || fail "nothing was left out"
  rm -rf "$folder/run"
  train 2 train.steps=20 train.on_nonfinite=skip "checkpoint.dir=$folder/run" --stop-after=5
  train 3 train.steps=20 train.on_nonfinite=skip "checkpoint.dir=$folder/run" --resume
  same "$reference" "$(digest)" "stopped between the two, resumed on 3 ranks"
  train 2 train.steps=20 train.on_nonfinite=skip train.max_skips=1
  says 3 'not finite at step 6' 'after 1 update left out in a row' 'train.max_skips = 1' 'optimizer.lr'
  rm -rf "$folder/run"
  train 2 train.steps=20 checkpoint.every=4steps "checkpoint.dir=$folder/run"
  says 3 'not finite at step 5; nothing was applied'
  intact "$folder/run" 4  # which was being written
}
case_nonfinite_rollback() {
  local ways way reference usual arguments
  train 0 train.steps=20
  succeeds
  usual=$(digest)
  export LOCKSTEP_FAULT="nan at=gradient lane=3 step=7"
  all_ways
  for way in "${ways[@]}"; do
    rm -rf "$folder/run"
    read -ra arguments <<< "$way"
    train "${arguments[@]}" train.steps=20 train.on_nonfinite=rollback checkpoint.every=4steps log.window=3 \
      "checkpoint.dir=$folder/run"
    succeeds
    grep -q 'step 4: the gradient of .* is not finite at step 7; the run went back here' "$err" || fail "it does not say so"
    grep -q 'bad numbers: .*1 rollback' "$out" || fail "the report does not count it"
    : "${reference:=$(digest)}"
    same "$reference" "$(digest)" "$way"
    intact "$folder/run" 20
  done
  [ "$reference" != "$usual" ] || fail "it went on with the same samples"
  # 20 steps and the samples of 3 that were left out (5, 6, 7), of 18 an epoch.
  grep -qE '^ *epoch +1$' "$folder/inspect.txt" || fail "not in the second epoch"
  grep -qE '^ *epoch_step +5$' "$folder/inspect.txt" || fail "other samples than those behind step 7"
  without_times "$folder/run" > "$folder/straight.lines"
  # A checkpoint that a stop has made is no place to go back to, and goes: the numbers are those of no stop.
  rm -rf "$folder/run"
  set -- train.steps=20 train.on_nonfinite=rollback checkpoint.every=4steps log.window=3 "checkpoint.dir=$folder/run"
  train 2 "$@" --stop-after=6
  train 3 "$@" --resume --stop-after=6
  [ -e "$folder/run/step-0000000006.h5" ] || fail "no checkpoint of the stop"
  train 3 "$@" --resume --stop-after=9
  [ ! -e "$folder/run/step-0000000006.h5" ] || fail "the checkpoint of a step to be done again is there"
  LOCKSTEP_FAULT='' train 0 "$@" --resume
  same "$reference" "$(digest)" "stopped before and after"
  without_times "$folder/run" | cmp - "$folder/straight.lines" || fail "other metrics"
  # Bounds.
  train 2 train.steps=20 train.on_nonfinite=rollback checkpoint.every=10steps "checkpoint.dir=$folder/late"
  says 3 'not finite at step 7' 'no checkpoint to go back to yet' 'checkpoint.every'
  train 2 train.steps=20 train.on_nonfinite=rollback
  says 2 'checkpoint.dir'
  train 2 train.steps=20 train.on_nonfinite=rollback checkpoint.every=10min "checkpoint.dir=$folder/late"
  says 2 'checkpoint.every = "10min"' 'steps or epochs'
  train 2 train.steps=20 train.on_nonfinite=skip parallel.strategy=local
  says 2 'parallel.strategy = "local"' 'replicated'
  LOCKSTEP_FAULT="nan at=gradient lane=3 step=7; nan at=gradient lane=1 step=8" \
    train 2 train.steps=20 train.on_nonfinite=rollback train.max_rollbacks=1 checkpoint.every=4steps "checkpoint.dir=$folder/often"
  says 3 'not finite at step 8' 'gone back 1 time already' 'train.max_rollbacks = 1'
}
case_spikes() {
  local ways way reference reported arguments
  export LOCKSTEP_FAULT="flip at=gradient lane=3 step=18"
  set -- train.steps=24 train.spike_window=12 optimizer.clip=1
  all_ways
  for way in "${ways[@]}"; do
    rm -rf "$folder/run"
    read -ra arguments <<< "$way"
    train "${arguments[@]}" "$@" train.on_spike=skip "checkpoint.dir=$folder/run"
    succeeds
    grep -qE 'step 18: the gradient norm .* deviations above .*; its update was left out' "$err" || fail "it does not say so"
    [ "$(counted "$folder/run" skipped)" = 1 ] || fail "expected a line in metrics.jsonl"
    : "${reference:=$(digest)}"
    same "$reference" "$(digest)" "$way"
  done
  rm -rf "$folder/run"
  train 2 "$@" train.on_spike=skip "checkpoint.dir=$folder/run" --stop-after=15
  train 3 "$@" train.on_spike=skip "checkpoint.dir=$folder/run" --resume
  same "$reference" "$(digest)" "stopped with half a history, resumed on 3 ranks"
  train 2 "$@" train.on_spike=report
  succeeds
  grep -qE 'step 18: the gradient norm .*it was applied' "$err" || fail "it does not say so"
  [ "$(digest)" != "$reference" ] || fail "report left it out"
  train 3 "$@" train.on_spike=rollback checkpoint.every=10steps "checkpoint.dir=$folder/back"
  succeeds
  reported=$(digest)
  rm -rf "$folder/back"
  train 0 "$@" train.on_spike=rollback checkpoint.every=10steps "checkpoint.dir=$folder/back"
  same "$reported" "$(digest)" "rolled back"
}
# One bit of one rank's copy, which no message and no norm shows at once.
case_copies_differ() {
  local usual
  train 2 train.steps=20
  usual=$(digest)
  set -- train.steps=20 run.check_replicas=6 checkpoint.every=5steps
  train 3 "$@" "checkpoint.dir=$folder/good"
  succeeds
  same "$usual" "$(digest)" "checked, and nothing found"
  export LOCKSTEP_FAULT="flip rank=1 at=update step=7"
  train 3 "$@" "checkpoint.dir=$folder/run"
  says 3 'after step 10 the copy of rank 1 on [^ ]+ \([0-9]+ blocks?\) differs from those of 2 other ranks' 'parameters/' 'elements 0 to' 'resume'
  intact "$folder/run" 5
  LOCKSTEP_FAULT='' train 3 "$@" "checkpoint.dir=$folder/run" --resume
  same "$usual" "$(digest)" "resumed from before it"
  train 2 "$@" "checkpoint.dir=$folder/two"
  says 3 'copies of rank 1 on .* differ from those of rank 0 on' 'which one so few cannot tell' 'at least 3 ranks'
  train 3 "$@" parallel.strategy=sharded parallel.stage=2 parallel.pretend_nodes=0,1,2 run.check_replicas=7
  says 3 'after step 7 the copy of rank 1' 'differs from those of 2 other ranks'
  train 4 "$@" parallel.strategy=server run.check_replicas=7
  says 3 'after step 7 the copy of rank 1' 'differs from those of 2 other ranks'
}
