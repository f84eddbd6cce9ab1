#!/usr/bin/env bash
# One case of a timeline or of MLPerf's log. Arguments: the program, scripts/mpirun.sh, a work folder,
# the case.
# shellcheck disable=SC1091,SC2015,SC2034,SC2154
set -euo pipefail
program=$1 mpirun=$2 work=$3 case=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
status=0
source "$here/../failures/steps.sh"
trace=$folder/trace.json

train() {  # RUN FILE, RANKS, OVERRIDES...: with section.key=value or --flags
  local file=$1 ranks=$2 arguments=()
  shift 2
  for item in "$@"; do
    case $item in --*) arguments+=("$item") ;; *) arguments+=(--set "$item") ;; esac
  done
  run "$ranks" train "$here/$file.toml" --set "data.path=$work/$file.h5" "${arguments[@]}"
}
# The rows of `train --check`'s table of ops and the bytes of usage.json are what the timeline is
# compared with.
timeline() {  # RUN FILE, LANES, STEPS, LAST STEP, OVERRIDES...
  local file=$1 lanes=$2 steps=$3 last=$4
  shift 4
  "$program" train "$here/$file.toml" --check --set "data.path=$work/$file.h5" > "$folder/check.txt" \
    2> "$err" || fail "--check"
  train "$file" 2 "checkpoint.dir=$folder/run" "--trace=$trace" --overwrite "$@"
  [ "$status" = 0 ] || [ "$status" = 75 ] || fail "exit code $status"
  grep -qE "^$trace: a timeline of 2 ranks, steps" "$out" || fail "the timeline is not told of"
  checked "$folder/run/usage.json" "$lanes" "$steps" "$last"
  [ ! -e "$folder/run/events" ] || fail "rings are left"
  ! find "$folder" -name '*.part-*' | grep -q . || fail "a half-written timeline is left"
}
checked() {  # USAGE, LANES, STEPS, LAST STEP
  /usr/bin/python3 "$here/check_timeline.py" "$trace" 2 "$2" "$3" "$4" "$folder/check.txt" "$1" "${within:-0.05}" \
    > "$folder/checked.txt" 2>&1 || fail "the timeline: $(tail -n 5 "$folder/checked.txt")"
  cat "$folder/checked.txt"
}

case_setup() {
  /usr/bin/python3 "$here/make_data.py" "$work"
  head -c 30000 "$work/text.txt" > "$work/val.txt"
  run 0 import --overwrite --format text --out "$work/gpt.h5" --train "$work/text.txt" --val "$work/val.txt"
  succeeds
}
case_mlp() { timeline mlp 4 20 20; }
# Between nodes: messages have peers, and arrows.
case_cnn() {
  timeline cnn 4 20 20 parallel.pretend_nodes=0,1 parallel.bucket_bytes=8192
  grep -qE '^[1-9][0-9]* arrows' "$folder/checked.txt" || fail "no arrows"
}
case_gpt() { timeline gpt 4 20 20 train.recompute=block; }
case_sharded() { timeline mlp 4 20 20 parallel.strategy=sharded parallel.stage=3 parallel.pretend_nodes=0,1; }

# What is recorded changes no number, and a run without it leaves nothing.
case_bits() {
  for file in mlp cnn gpt; do
    train $file 2 train.steps=6
    succeeds
    plain=$(digest)
    train $file 2 train.steps=6 "--trace=$trace"
    succeeds
    same "$plain" "$(digest)" "$file with --trace"
    [ -s "$trace" ] || fail "no timeline"
    [ ! -e "$trace.rings" ] || fail "rings are left"
    rm "$trace"
  done
}
# A run that stops for its time limit has its timeline too.
case_stop() {
  train mlp 2 "checkpoint.dir=$folder/run" "--trace=$trace" train.steps=1000000 data.val= run.time_limit=6s \
    run.stop_before=1s
  [ "$status" = 75 ] || fail "exit code $status, expected 75"
  grep -qE "^$trace: a timeline of 2 ranks, steps 1 to [0-9]+" "$out" || fail "the timeline is not told of"
  /usr/bin/python3 -m json.tool "$trace" > /dev/null || fail "the timeline"
}
# Of many small steps not all events fit: that is said, and the first step that is said to be whole is.
case_full() {
  local small=("model.hidden=[4, 4]" train.batch=32 train.lanes=32 data.val=) from last steps
  train mlp 0 --check "${small[@]}"
  cp "$out" "$folder/check.txt"
  train mlp 2 "--trace=$trace" train.steps=600 "${small[@]}"
  succeeds
  from=$(sed -nE "s|^$trace: a timeline of 2 ranks, steps ([0-9]+) to ([0-9]+), the last ([0-9]+) of .*|\1|p" "$out")
  last=$(sed -nE "s|^$trace: .* steps [0-9]+ to ([0-9]+), .*|\1|p" "$out")
  steps=$(sed -nE "s|^$trace: .*, the last ([0-9]+) of [0-9]+: .*|\1|p" "$out")
  [ "$from" -gt 1 ] && [ "$steps" = $((last - from + 1)) ] || fail "steps '$from' to '$last', $steps of them"
  within=1 checked "" 32 20 $((from + 19))
}
# One rank alone fails: nobody can gather, and the rings are there to be put together.
case_error() {
  export LOCKSTEP_FAULT="kill rank=1 at=fold step=12"
  train mlp 2 "--trace=$trace"
  unset LOCKSTEP_FAULT
  [ "$status" = 137 ] || fail "exit code $status, expected 137"
  [ ! -e "$trace" ] || fail "there is a timeline"
  "$program" -q trace "$trace.rings" --out "$trace" || fail "trace: $?"
  "$program" train "$here/mlp.toml" --check --set "data.path=$work/mlp.h5" > "$folder/check.txt" 2>&1
  checked "" 4 11 11
}
case_refused() {
  train mlp 2 "--trace=$folder/no/trace.json"
  says 2 'no folder .*/no'
  train mlp 2 "--trace=$folder"
  says 2 'is a folder'
}

mllog=$folder/mllog.txt
mlperf() {  # OVERRIDES...
  train cosmoflow 2 "log.mlperf=$mllog" "checkpoint.dir=$folder/run" "$@"
}
mllog_is() {  # ARGUMENTS of check_mllog.py
  /usr/bin/python3 "$here/check_mllog.py" "$mllog" "$@" || fail "the log: $(cat "$mllog")"
}
case_mlperf() {
  MLPERF_SUBMISSION_ORG="A \"quoted\" name" mlperf --overwrite
  succeeds
  mllog_is --epochs 3 --batch 8 --train 24 --eval 9 --org 'A "quoted" name' --errors "$folder/run/metrics.jsonl"
  # One that starts afresh has a file of its own; what was there is set aside.
  cp "$mllog" "$folder/first.txt"
  mlperf --overwrite data.cache=memory train.evaluate_every=2
  succeeds
  mllog_is --epochs 3 --batch 8 --train 24 --eval 9 --org unnamed --staged --blocks 1+2,3+1
  cmp "$folder/first.txt" "$mllog.before" || fail "the earlier log has changed"
}
case_mlperf_resumed() {
  export LOCKSTEP_FAULT="kill rank=0 at=fold step=5"
  mlperf checkpoint.every=2steps checkpoint.background=false
  unset LOCKSTEP_FAULT
  [ "$status" = 137 ] || fail "exit code $status, expected 137"
  cp "$mllog" "$folder/first.txt"
  mlperf checkpoint.every=2steps --resume
  succeeds
  cmp "$folder/first.txt" <(head -c "$(stat -c %s "$folder/first.txt")" "$mllog") || fail "lines have changed"
  mllog_is --epochs 3 --batch 8 --train 24 --eval 9 --org unnamed --resumed 4
  # An error leaves a run that was aborted.
  mlperf --overwrite optimizer.lr=1e30 train.steps=40
  [ "$status" = 3 ] || fail "exit code $status, expected 3"
  mllog_is --aborted
}
case_mlperf_refused() {
  mkdir -p "$folder/folder"
  for path in "$folder/no/folder/log.txt" "$folder/folder"; do
    train cosmoflow 2 "log.mlperf=$path"
    says 2 "$path"
  done
}

declare -F "case_$case" > /dev/null || { echo "no case '$case'" >&2; exit 2; }
"case_$case"
