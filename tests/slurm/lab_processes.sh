# The lab's processes: started with a clean environment, recorded by id and start time, ended by that.
# Sourced by lab.
# shellcheck shell=bash disable=SC2153

# start_time PID: set START to the process's start time, in clock ticks since boot.
# Fails if there is no such process or it is a zombie. Id and start time together name
# a process uniquely. (No subshells here: `down` asks this about every task there was.)
start_time() {
  local stat
  START=
  { read -r stat < "/proc/$1/stat"; } 2> /dev/null || return 1
  # "PID (NAME) STATE PPID ...": NAME may hold anything, so cut at the last ") ".
  read -r -a stat <<< "${stat##*) }"
  [[ ${stat[0]} != [ZX] ]] || return 1
  START=${stat[19]}
}

# is_running PID START: whether exactly the recorded process still runs.
is_running() { start_time "$1" && [[ $START == "$2" ]]; }

# running FILE...: print those of the recorded processes, lines of "PID START NAME",
# that still run.
running() {
  local file pid start name
  for file in "$@"; do
    [[ -f $file ]] || continue
    while read -r pid start name; do
      if is_running "$pid" "$start"; then echo "$pid $start $name"; fi
    done < "$file"
  done
}

# stop_recorded SECONDS FILE...: end the processes recorded in the files: SIGTERM, and
# SIGKILL for those left after SECONDS (all of them together get that time).
stop_recorded() {
  local limit=$1 signal deadline left pid start name
  shift
  left=$(running "$@")
  for signal in TERM KILL; do
    [[ -n $left ]] || return 0
    while read -r pid start name; do
      is_running "$pid" "$start" || continue
      [[ $signal == TERM ]] || say "$name (pid $pid) ignored SIGTERM; sending SIGKILL"
      kill -s "$signal" "$pid" 2> /dev/null || true
    done <<< "$left"
    deadline=$((SECONDS + limit))
    while left=$(running "$@") && [[ -n $left ]] && ((SECONDS <= deadline)); do sleep 0.1; done
  done
  [[ -z $left ]] || { say "could not end: $left"; return 1; }
}

# close_inherited: close all file descriptors but stdin, stdout and stderr, so that
# no daemon keeps a caller's pipe or lock open. (255 is bash's own, close-on-exec.)
close_inherited() {
  local fd
  for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    if ((fd > 2 && fd != 255)); then eval "exec $fd>&-"; fi
  done
}

# with_host NAME COMMAND...: replace this shell by COMMAND, on the "machine" NAME.
# The arguments are handed through, so that no quoting is needed.
with_host() {
  local name=$1
  shift
  if [[ $NAMESPACES == yes ]]; then
    # shellcheck disable=SC2016 # the inner shell expands these
    exec unshare --uts --mount --propagation private -- bash -c '
      hostname "$1" && mount --bind "$2" /etc/hosts &&
        mount -t tmpfs -o mode=1777 tmpfs /dev/shm && shift 2 && exec "$@"' \
      bash "$name" "$DIR/etc/hosts" "$@"
  fi
  exec "$@"
}

# launch NAME HOST COMMAND...: start a daemon in the background, detached from the
# terminal, with a clean environment, and record it. setsid, env, unshare and the
# inner bash all exec the next one, so $! is and stays the daemon's own pid.
launch() {
  local name=$1 host=$2 pid
  shift 2
  (
    close_inherited
    with_host "$host" setsid env -i PATH="$PATH" HOME="${HOME:-/}" LANG="${LANG:-C.UTF-8}" \
      SLURM_CONF="$DIR/etc/slurm.conf" "$@"
  ) < /dev/null >> "$DIR/log/$name.out" 2>&1 &
  pid=$!
  start_time "$pid" || true  # if it has gone already, wait_for will tell
  echo "$pid ${START:-0} $name" >> "$DIR/run/daemons"
}

# start_daemon NAME: start munged, slurmctld or slurmd-NODE.
start_daemon() {
  local node=${1#slurmd-}
  case $1 in
    munged)
      # --force: do not insist on the permissions of the folders above ours,
      # which may be somebody's home.
      launch munged "$LOGIN_HOST" munged --foreground --force --origin="$NODE_ADDRESS" \
        --socket="$DIR/run/munge.socket" --key-file="$DIR/etc/munge.key" \
        --pid-file="$DIR/run/munged.pid" --log-file="$DIR/log/munged.log" \
        --seed-file="$DIR/run/munged.seed"
      wait_for 10 munged munge_answers
      ;;
    slurmctld) launch slurmctld "$LOGIN_HOST" slurmctld -D -f "$SLURM_CONF" ;;
    *) launch "$1" "$node" slurmd -D -N "$node" -f "$SLURM_CONF" ;;
  esac
}

# wait_for SECONDS WHAT COMMAND...: wait until COMMAND succeeds, else die. Gives up
# early when a daemon that was started has gone.
wait_for() {
  local what=$2 deadline=$((SECONDS + $1)) pid start name
  shift 2
  until "$@"; do
    while read -r pid start name; do
      is_running "$pid" "$start" ||
        { tail -n 5 "$DIR/log/$name.out" >&2; die "$name has exited"; }
    done < "$DIR/run/daemons"
    ((SECONDS < deadline)) || die "timed out waiting for $what"
    sleep 0.1
  done
}
