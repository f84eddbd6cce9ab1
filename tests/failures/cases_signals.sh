# Ranks that die, stop, or are asked to stop. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

# Starts a long run in the background and waits for its first checkpoint. Sets job, launcher, ranks.
start_long() {  # ranks, overrides or --flags
  start_ranks "$@"
  for _ in $(seq 100); do
    [ -z "$(find "$folder/run" -name 'step-*.h5' 2> /dev/null)" ] || break
    sleep 0.1
  done
}
start_ranks() {
  local count=$1 arguments=()
  shift
  for item in "$@"; do
    case $item in --*) arguments+=("$item") ;; *) arguments+=(--set "$item") ;; esac
  done
  timeout -k 5 "$limit" "$mpirun" -np "$count" "$program" train "$here/model.toml" \
    --set "data.path=$work/good.h5" --set "checkpoint.dir=$folder/run" --set train.steps=100000000 \
    --set data.val= "${arguments[@]}" > "$out" 2> "$err" &
  job=$!
  for _ in $(seq 100); do
    launcher=$(pgrep -P "$(pgrep -P $job -f mpirun.sh || echo 0)" -x mpirun || echo 0)
    mapfile -t ranks < <(pgrep -P "$launcher" -x lockstep)
    [ "${#ranks[@]}" != "$count" ] || return 0
    sleep 0.1
  done
  fail "${#ranks[@]} ranks run, expected $count"
}
finished() { status=0; wait "$job" || status=$?; }
gone() {  # mpirun may leave a moment before the ranks that it has killed
  for _ in $(seq 100); do
    kill -0 "${ranks[@]}" 2> /dev/null || return 0
    sleep 0.1
  done
  fail "ranks still run: $(ps -o pid=,stat=,args= -p "$(IFS=,; echo "${ranks[*]}")")"
}
newest_step() { find "$1" -name 'step-*.h5' | sort | tail -n 1 | grep -oE '[0-9]{10}' | sed 's/^0*//'; }

case_killed_rank() {
  start_long 3
  kill -KILL "${ranks[1]}"
  finished
  [ "$status" = 137 ] || fail "exit code $status, expected 137 of a killed rank"
  gone
  rm -f "$folder"/run/*.tmp
  intact "$folder/run" "$(newest_step "$folder/run")"
  train 2 "checkpoint.dir=$folder/run" data.val= --resume --stop-after=1
  succeeds
}
case_stopped_rank() {
  local seconds=$SECONDS
  start_long 3 run.watchdog=2
  kill -STOP "${ranks[2]}"
  finished
  says 74 'missing: rank 2' 'step' 'run\.watchdog'
  [ $((SECONDS - seconds)) -lt 15 ] || fail "it took $((SECONDS - seconds)) s"
  gone
  intact "$folder/run" "$(newest_step "$folder/run")"
}
# mpirun passes USR1 on: all ranks save at the same step, and --resume ends with the undisturbed digest.
case_signal_usr1() {
  train 2 "checkpoint.dir=$folder/straight" train.steps=3000 data.val= checkpoint.every=end
  succeeds
  local expected
  expected=$(digest)
  start_long 3 train.steps=3000 checkpoint.every=10steps
  kill -USR1 "$launcher"
  finished
  [ "$status" = 75 ] || fail "exit code $status, expected 75"
  local said
  said=$(grep -oE 'stopped by USR1 after step [0-9]+' "$out") || fail "not said what stopped it"
  ! grep -q '^lockstep: ' "$err" || fail "an error was said"
  ! grep -q $'\r' "$out" || fail "carriage returns in a log file"
  intact "$folder/run" "$(newest_step "$folder/run")"
  train 2 "checkpoint.dir=$folder/run" train.steps=3000 data.val= checkpoint.every=end --resume
  succeeds
  same "$expected" "$(digest)" "$said, resumed"
}

# Starts a long run of one process, without mpirun. Sets job and launcher (its own process).
start_alone() {  # overrides or --flags
  local arguments=()
  for item in "$@"; do
    case $item in --*) arguments+=("$item") ;; *) arguments+=(--set "$item") ;; esac
  done
  timeout -k 5 "$limit" "$program" train "$here/model.toml" --set "data.path=$work/good.h5" \
    --set "checkpoint.dir=$folder/run" --set train.steps=100000000 --set data.val= "${arguments[@]}" > "$out" 2> "$err" &
  job=$!
  for _ in $(seq 100); do
    launcher=$(pgrep -P $job -x lockstep || true)
    [ -z "$launcher" ] || break
    sleep 0.05
  done
}
# The process notes signals instead of dying of them.
wait_for_handlers() {  # process
  local mask
  for _ in $(seq 200); do
    mask=$(sed -n 's/^SigCgt:\t//p' "/proc/$1/status" 2> /dev/null || true)
    [ -n "$mask" ] && (( 0x$mask & (1 << 9) )) && return
    sleep 0.02
  done
  fail "no handler of USR1 was ever installed"
}
wait_for_file() {  # pattern in the run's folder
  for _ in $(seq 200); do
    [ -z "$(find "$folder/run" -name "$1" 2> /dev/null)" ] || return 0
    sleep 0.02
  done
  fail "no $1 was ever written"
}
wait_for_line() {  # pattern
  for _ in $(seq 200); do
    ! grep -q "$1" "$out" || return 0
    sleep 0.02
  done
  fail "never said: $1"
}
stopped_by() {  # what; with a checkpoint of the step that is said
  [ "$status" = 75 ] || fail "exit code $status, expected 75"
  [ "$(grep -c 'stopped by' "$out")" = 1 ] || fail "not said once what stopped it"
  said=$(grep -oE "stopped by $1 after step [0-9]+" "$out") || fail "not said that $1 stopped it"
  ! grep -v '^lockstep: warning: ' "$err" | grep -q '^lockstep: ' || fail "an error was said"
  intact "$folder/run" "${said##* }"
  no_leftovers "$folder/run"
}

case_signal_usr2() {
  start_long 2
  kill -USR2 "$launcher"
  finished
  stopped_by USR2
}
# One rank alone has got it: all stop.
case_signal_one_rank() {
  start_long 3
  kill -TERM "${ranks[2]}"
  finished
  stopped_by TERM
}
case_signal_alone() {
  for signal in TERM INT; do
    rm -rf "$folder/run"
    start_alone
    wait_for_file 'step-*.h5'
    kill -$signal "$launcher"
    finished
    stopped_by $signal
  done
}
# Signals after the first change nothing, not even while the checkpoint is being written, each block
# of which takes a while here; KILL then leaves the one before.
case_signal_again() {
  LOCKSTEP_FAULT="slow rank=1 at=write ms=200" start_ranks 2 checkpoint.every=end log.every=0.02
  wait_for_line '^epoch '  # a step is done: there is something to save
  kill -USR1 "$launcher"
  wait_for_file '*.tmp'
  kill -USR1 "$launcher"
  kill -TERM "${ranks[@]}"
  finished
  stopped_by USR1
  local step
  step=$(newest_step "$folder/run")
  LOCKSTEP_FAULT="slow rank=0 at=write ms=1000" start_ranks 2 checkpoint.every=end log.every=0.02 --resume
  wait_for_line '^epoch '
  kill -USR1 "$launcher"
  wait_for_file '*.tmp'
  kill -USR1 "$launcher"
  kill -TERM "${ranks[@]}"
  kill -KILL "${ranks[0]}"
  finished
  [ "$status" = 137 ] || fail "exit code $status, expected 137 of a killed rank"
  gone
  [ -n "$(find "$folder/run" -name '*.tmp')" ] || fail "nothing was being written"
  intact "$folder/run" "$step"
}
# Before the first step there is nothing to save. The same command goes on all the same.
case_signal_at_start() {
  LOCKSTEP_FAULT="slow at=start ms=700" start_alone
  wait_for_handlers "$launcher"
  kill -USR1 "$launcher"
  finished
  [ "$status" = 75 ] || fail "exit code $status, expected 75"
  grep -q 'stopped by USR1 after step 0 of' "$out" || fail "not said what stopped it"
  [ -z "$(find "$folder/run" -name 'step-*')" ] || fail "a checkpoint of no step"
  train 2 "checkpoint.dir=$folder/run" --resume --stop-after=10
  succeeds
  LOCKSTEP_FAULT="slow at=start ms=700" start_alone
  wait_for_handlers "$launcher"
  kill -TERM "$launcher"
  finished
  [ "$status" = 2 ] || fail "exit code $status, expected 2 without --resume"
  # A run that is over is over, signal or not.
  LOCKSTEP_FAULT="slow at=start ms=700" start_alone --resume train.steps=10
  wait_for_handlers "$launcher"
  kill -USR1 "$launcher"
  finished
  succeeds
  intact "$folder/run" 10
}

# The time limit: by its key, by the environment of a Slurm job, by squeue, and moved by squeue.
case_time_limit() {
  start_long 2 run.time_limit=4s run.stop_before=1s
  finished
  stopped_by 'the time limit'
  [ "$(grep -cE '^time limit: .*\(run\.time_limit, in .*\); stops with a checkpoint' "$out")" = 1 ] ||
    fail "not said once when it will stop"
  train 2 "checkpoint.dir=$folder/run" data.val= --resume run.time_limit=1h train.steps=$(($(newest_step "$folder/run") + 5))
  succeeds
  train 0 run.time_limit=1h
  says 2 'run\.time_limit' 'checkpoint\.dir'
  train 0 run.time_limit=soon
  says 2 'run\.time_limit = "soon"' '2h'
}
case_time_limit_of_a_job() {
  SLURM_JOB_END_TIME=$(($(date +%s) + 5)) start_long 2
  finished
  stopped_by 'the time limit'
  grep -q '^time limit: .*(SLURM_JOB_END_TIME' "$out" || fail "not said when it will stop"
  rm -rf "$folder/run"
  mkdir "$folder/bin"
  printf '#!/bin/sh\nexec 2> /dev/null\n[ "$*" = "-h -j 4711 -o %%L" ] && echo 0:04\n' > "$folder/bin/squeue"
  chmod +x "$folder/bin/squeue"
  PATH=$folder/bin:$PATH SLURM_JOB_ID=4711 start_long 2
  finished
  stopped_by 'the time limit'
  grep -q '^time limit: .*(squeue' "$out" || fail "not said when it will stop"
  # A squeue that hangs holds nobody up, and is gone with the run; run.time_limit = "off" asks nobody.
  rm -rf "$folder/run"
  printf '#!/bin/sh\nexec sleep 4711\n' > "$folder/bin/squeue"
  PATH=$folder/bin:$PATH SLURM_JOB_ID=4711 train 2 "checkpoint.dir=$folder/run"
  succeeds
  ! pgrep -f 'sleep 4711' > /dev/null || fail "squeue outlives the run"
  SLURM_JOB_END_TIME=$(($(date +%s) - 5)) train 2 "checkpoint.dir=$folder/run" run.time_limit=off --overwrite
  succeeds
}
