# A run that starts itself again (scripts/run_until_done.sh): what heals, and what is final. Sourced by
# failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export LOCKSTEP_LAUNCHER=mpirun LOCKSTEP_RESTART_WAIT=0

script=$(dirname "$mpirun")/run_until_done.sh
# LAUNCHER WORDS... -- OVERRIDES...
compose_restarting() {
  restarting=("$script")
  while [ "$1" != -- ]; do restarting+=("$1"); shift; done
  shift
  restarting+=("$program" train "$here/model.toml" --set "data.path=$work/good.h5" --set data.val=
    --set "checkpoint.dir=$folder/run" --set checkpoint.background=false)  # whole at the step, which cases count on
  for item in "$@"; do
    case $item in --*) restarting+=("$item") ;; *) restarting+=(--set "$item") ;; esac
  done
}
until_done() {
  compose_restarting "$@"
  status=0
  TMPDIR=$folder timeout -k 5 "$limit" "${restarting[@]}" > "$out" 2> "$err" || status=$?
}
attempts() {  # how many there were, and patterns that the lines hold, one each
  local lines number=0
  lines=$(grep -c '^run_until_done: attempt ' "$err" || true)
  [ "$lines" = "$1" ] || fail "$lines attempts, expected $1"
  shift
  for pattern in "$@"; do
    number=$((number + 1))
    grep -qE -- "^run_until_done: attempt $number: $pattern" "$err" || fail "attempt $number does not say '$pattern'"
  done
  ! grep '^run_until_done: ' "$err" || true
}
expected_digest() {  # OVERRIDES...
  train 0 data.val= "$@"
  succeeds
  expected=$(digest)
}
same_as_undisturbed() {
  [ "$status" = 0 ] || fail "exit code $status, expected 0"
  same "$expected" "$(digest)" "$1"
  no_leftovers "$folder/run"
  ! find "$folder" -maxdepth 1 -name 'lockstep.*' | grep -q . || fail "the launcher's files are left"
}

# A drill as the manual has it: each attempt is killed elsewhere, the last one goes through.
case_restart_killed() {
  expected_digest
  LOCKSTEP_FAULT="kill rank=1 at=fold step=14 | kill rank=0 at=forward step=22 | kill rank=2 at=start" \
    until_done -np 3 -- checkpoint.every=5steps
  attempts 4 '3 ranks from step 0$' '3 ranks from step 10 \(a rank was killed\)' '3 ranks from step 20 ' '3 ranks from step 20 '
  same_as_undisturbed "killed three times"
}
# The watchdog's end is no end.
case_restart_stopped() {
  expected_digest
  LOCKSTEP_FAULT="stop rank=1 at=fold step=17" until_done -np 3 -- run.watchdog=3
  attempts 2 '3 ranks' '3 ranks from step 10 \(a rank did not answer\)'
  grep -qE '^lockstep: .*missing: rank 1' "$err" || fail "the missing rank is not named"
  same_as_undisturbed "a rank stopped"
}
# What would be the same the next time ends at once, with its sentence.
case_restart_final() {
  until_done -np 2 -- optimizer.kind=sgd optimizer.lr=1e30
  says 3 'not finite'
  attempts 1
  until_done -np 2 -- train.lanes=1 train.batch=7 data.train=none
  says 2 'data\.train|none'
  attempts 1
  until_done -np 2 -- optimizer.lrr=1
  says 2 'optimizer\.lr'
  attempts 0
  mkdir "$folder/disk"
  compose_restarting -np 2 -- "checkpoint.dir=$folder/disk/run" checkpoint.every=4steps checkpoint.keep=100
  # shellcheck disable=SC2016
  command_line=$(printf '%q ' "${restarting[@]}") with_mounts 'mount -t tmpfs -o size=300k tmpfs "$folder/disk" || exit 99
    eval "$command_line"'
  says 2 'cannot save step-' 'free some space'
  attempts 1
  [ "$(id -u)" = 0 ] || return 0  # as in folder_not_writable
  # shellcheck disable=SC2016
  command_line=$(printf '%q ' "${restarting[@]}") with_mounts 'mount -t tmpfs tmpfs "$folder/disk" &&
    mount -o remount,ro "$folder/disk" || exit 99
    eval "$command_line"'
  says 2 'checkpoint\.dir' 'Read-only'
  attempts 1
}
# A loss at each start does not go away: fewer ranks are tried, and then it is said.
case_restart_gives_up() {
  local always="kill rank=0 at=start"
  LOCKSTEP_FAULT="kill rank=0 at=fold step=12|$always|$always|$always|$always|$always|$always" \
    until_done -np 4 --
  [ "$status" = 137 ] || fail "exit code $status, expected the last one's 137"
  attempts 6 '4 ranks from step 0' '4 ranks from step 10' '4 ranks' '2 ranks' '2 ranks' '1 ranks'
  grep -qE '^run_until_done: a rank was killed, the 5th time without a new checkpoint' "$err" || fail "not said why it gives up"
}
# TERM to the script is USR1 to the ranks, and the end; so is the death of the script, which a lost
# node's batch script may die.
case_restart_signals() {
  expected_digest train.steps=3000 checkpoint.every=end
  for way in TERM KILL; do
    rm -rf "$folder/run"
    compose_restarting -np 2 -- train.steps=3000 checkpoint.every=10steps
    TMPDIR=$folder "${restarting[@]}" > "$out" 2> "$err" &
    job=$!
    for _ in $(seq 200); do
      [ -z "$(find "$folder/run" -name 'step-*.h5' 2> /dev/null)" ] || break
      sleep 0.05
    done
    launcher=$(pgrep -P $job -x mpirun)
    mapfile -t ranks < <(pgrep -P "$launcher" -x lockstep)
    kill -$way $job
    finished
    gone
    if [ $way = TERM ]; then
      [ "$status" = 75 ] || fail "exit code $status, expected 75"
      grep -q 'stopped by [A-Z0-9]* after step' "$out" || fail "the ranks did not stop by themselves"
      attempts 1
    else
      rm -rf "$folder"/lockstep.*
    fi
    intact "$folder/run" "$(newest_step "$folder/run")"
    no_leftovers "$folder/run"
    until_done -np 3 -- train.steps=3000 checkpoint.every=end
    attempts 1 "3 ranks from step [1-9]"
    same_as_undisturbed "after $way to the script"
  done
}
# Hosts that do not answer are left out: "far" answers until the first attempt is lost.
case_restart_hosts() {
  expected_digest
  cat > "$folder/agent" <<END
#!/usr/bin/env bash
echo "\$*" >> "$folder/asked"
[ "\$(grep -c '^far ' "$folder/asked")" -le 1 ]
END
  chmod +x "$folder/agent"
  # mpirun itself shall not look for hosts: this stands before it and drops --host.
  cat > "$folder/mpirun" <<'END'
#!/usr/bin/env bash
[ "$3" = --host ] && [ -n "$4" ] || exit 2
echo "$2 on $4" >&2
exec mpirun -np "$2" "${@:5}"
END
  chmod +x "$folder/mpirun"
  LOCKSTEP_LAUNCHER=$folder/mpirun OMPI_MCA_plm_rsh_agent=$folder/agent \
    LOCKSTEP_FAULT="kill rank=1 at=fold step=12" until_done --host localhost:2,far:1 --
  grep -qx '3 on localhost:2,far:1' "$err" || fail "not on both hosts at first"
  grep -qx '2 on localhost:2' "$err" || fail "not on the host that is left"
  attempts 2 '3 ranks from step 0$' '2 ranks from step 10 \(a rank was killed; 1 of 2 hosts are lost\)'
  same_as_undisturbed "a host lost"
}
# The newest checkpoint is damaged while nothing runs: the run goes on from the one before.
case_restart_damaged() {
  expected_digest
  train 2 "checkpoint.dir=$folder/run" data.val= --stop-after=20
  succeeds
  local newest=$folder/run/step-0000000020.h5
  printf '\xff\x01\x7f' | dd of="$newest" bs=1 seek=$(($(stat -c %s "$newest") / 2)) conv=notrunc status=none
  until_done -np 3 --
  same_as_undisturbed "resumed from before the damage"
  grep -E '^lockstep: .*step-0000000020' "$err" || fail "the damage is not said"
}
