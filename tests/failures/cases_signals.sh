# Ranks that die, stop, or are asked to stop. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

# Starts a long run in the background and waits for its first checkpoint. Sets job, launcher, ranks.
start_long() {  # ranks, overrides
  local count=$1 arguments=()
  shift
  for item in "$@"; do arguments+=(--set "$item"); done
  timeout -k 5 "$limit" "$mpirun" -np "$count" "$program" train "$here/model.toml" \
    --set "data.path=$work/good.h5" --set "checkpoint.dir=$folder/run" --set train.steps=100000000 \
    --set data.val= "${arguments[@]}" > "$out" 2> "$err" &
  job=$!
  for _ in $(seq 100); do
    [ -z "$(find "$folder/run" -name 'step-*.h5' 2> /dev/null)" ] || break
    sleep 0.1
  done
  launcher=$(pgrep -P "$(pgrep -P $job -f mpirun.sh)" -x mpirun)
  mapfile -t ranks < <(pgrep -P "$launcher" -x lockstep)
  [ "${#ranks[@]}" = "$count" ] || fail "${#ranks[@]} ranks run, expected $count"
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
  said=$(grep -oE 'stopped on a signal after step [0-9]+' "$out") || fail "not said that a signal stopped it"
  ! grep -q '^lockstep: ' "$err" || fail "an error was said"
  ! grep -q $'\r' "$out" || fail "carriage returns in a log file"
  intact "$folder/run" "$(newest_step "$folder/run")"
  train 2 "checkpoint.dir=$folder/run" train.steps=3000 data.val= checkpoint.every=end --resume
  succeeds
  same "$expected" "$(digest)" "$said, resumed"
}
