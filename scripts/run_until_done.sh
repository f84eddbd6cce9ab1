#!/usr/bin/env bash
# Runs `lockstep train` until it is done: after a lost rank or node it starts again from the newest
# checkpoint, on what is left.
#
#   scripts/run_until_done.sh [-np N] [--host A:4,B:4 | --hostfile FILE] [more for the launcher] \
#     lockstep train run.toml [more for train; --resume is added]
#
# On one machine with N ranks (all cores), on hosts that answer, or on the nodes of a Slurm allocation
# that are up. A number of ranks that failed twice without a new checkpoint is halved. Ends
#   with 0, 2 or 3 of train: done, a mistake, data that cannot be trusted;
#   with 75 if TERM, INT, USR1 or USR2 asked it to stop, which it passes on as USR1 and waits for;
#   with 1, the launcher's own, if that is all that the first attempt comes to;
#   with the last code after LOCKSTEP_TRIES attempts in a row without a new checkpoint.
#
#   LOCKSTEP_LAUNCHER      srun or mpirun, or the path of one   (srun where SLURM_JOB_ID is set, else mpirun)
#   LOCKSTEP_TRIES         attempts without a new checkpoint    (5)
#   LOCKSTEP_RESTART_WAIT  seconds before it starts again, doubled by each such attempt  (5)
#   LOCKSTEP_FAULT         failures on purpose: "A | B" arms A in the first attempt, B in the second
# The ranks see LOCKSTEP_ATTEMPT, counted from 1.
set -uo pipefail

say() { printf 'run_until_done: %s\n' "$*" >&2; }
refuse() { say "$*"; exit 2; }

# Hosts and their slots; empty means this machine. texts: as the launcher wants to be told.
names=() slots=() texts=() hostfile=
add_host() { names+=("$1") slots+=("$2") texts+=("$3"); }
add_listed() {  # A:4,B
  local item
  for item in ${1//,/ }; do
    [[ $item =~ ^([^:]+)(:([0-9]+))?$ ]] && add_host "${BASH_REMATCH[1]}" "${BASH_REMATCH[3]:-1}" "$item"
  done
}
add_file() {  # lines like "node1 slots=4"
  local line host count
  [ -r "$1" ] || refuse "cannot read the hostfile $1"
  while read -r line; do
    line=${line%%#*}
    read -r host _ <<< "$line"
    [ -n "$host" ] || continue
    count=1
    [[ $line =~ slots=([0-9]+) ]] && count=${BASH_REMATCH[1]}
    add_host "$host" "$count" "$line"
  done < "$1"
  hostfile=$1
}
add_allocation() {  # SLURM_TASKS_PER_NODE is like 4(x2),3
  local hosts=() counts=() item i
  mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
  for item in ${SLURM_TASKS_PER_NODE//,/ }; do
    [[ $item =~ ^([0-9]+)(\(x([0-9]+)\))?$ ]] || continue
    for ((i = 0; i < ${BASH_REMATCH[3]:-1}; ++i)); do counts+=("${BASH_REMATCH[1]}"); done
  done
  for i in "${!hosts[@]}"; do add_host "${hosts[i]}" "${counts[i]:-1}" "${hosts[i]}:${counts[i]:-1}"; done
}

launcher=${LOCKSTEP_LAUNCHER:-}
[ -n "$launcher" ] || { [ -n "${SLURM_JOB_ID:-}" ] && launcher=srun || launcher=mpirun; }
wanted='' words=()
while [ $# -gt 0 ] && [ "${2-}" != train ]; do
  case $1 in
    -np | --np | -n | --ntasks) wanted=${2-}; shift ;;
    -H | -host | --host) add_listed "${2-}"; shift ;;
    -hostfile | --hostfile | -machinefile | --machinefile) add_file "${2-}"; shift ;;
    *) words+=("$1") ;;
  esac
  shift
done
[ $# -ge 3 ] || refuse "usage: run_until_done.sh [-np N] [--host A,B] lockstep train run.toml [...]"
[[ $wanted =~ ^[0-9]*$ ]] || refuse "-np $wanted: a number of ranks is meant"
program=$1
shift 2
[[ " $* " == *" --resume "* ]] || set -- "$@" --resume
allocation=
if [ ${#names[@]} = 0 ] && [ -n "${SLURM_JOB_NODELIST:-}" ]; then allocation=yes; add_allocation; fi

# What the run file says of the folder, and of how many ranks can work.
overrides=() file=
for ((i = 1; i <= $#; ++i)); do
  case ${!i} in
    --set) ((++i)); overrides+=(--set "${!i-}") ;;
    --set=*) overrides+=("${!i}") ;;
    --init-from | --stop-after) ((++i)) ;;
    -*) ;;
    *) file=${file:-${!i}} ;;
  esac
done
resolved=$("$program" config "$file" "${overrides[@]}") || exit 2
value_of() {  # section, key
  awk -v section="[$1]" -v key="$2" '/^\[/ { here = $0 == section }
    here && $1 == key { sub(/^[^=]*= */, ""); gsub(/^"|"$/, ""); print; exit }' <<< "$resolved"
}
folder=$(value_of checkpoint dir)
[ -n "$folder" ] || refuse "$file sets no checkpoint.dir: there would be nothing to go on from"
most=$(value_of train lanes) least=1
servers=$(value_of parallel servers) replicas=$(value_of parallel replicas)
if [ -n "$servers" ]; then least=$((servers + 1)) most=$((most + servers)); fi
[ "${replicas:-0}" = 0 ] || most=$replicas

listing() { find "$folder" -maxdepth 1 -name 'step-*.h5' -printf '%f %T@\n' 2> /dev/null | sort; }
highest() { sed -nE 's/^step-0*([0-9]+)\.h5 .*/\1/p' | tail -n 1; }  # step of a sorted listing, or nothing

# Which hosts are left: indices in `up`. Slurm knows its nodes; others are asked as mpirun would.
read -ra agent <<< "${OMPI_MCA_plm_rsh_agent:-ssh -o BatchMode=yes}"
answers() {
  case $1 in localhost | 127.0.0.1 | "$HOSTNAME" | "${HOSTNAME%%.*}") return 0 ;; esac
  timeout 20 "${agent[@]}" "$1" true < /dev/null > /dev/null 2>&1
}
survey() {
  local i pids=() lost='' kept
  up=()
  if [ -n "$allocation" ]; then
    # A node that fails leaves the job (--no-kill), even if it comes back.
    kept=$(scontrol show hostnames "$(squeue --noheader --job="$SLURM_JOB_ID" --format=%N)")
    lost=$(sinfo --noheader --Node --nodes="$SLURM_JOB_NODELIST" --format='%N %T' |
      awk '$2 ~ /^(down|drained|fail|error|power|unknown|no_resp)|\*$/ { print $1 }')
    for i in "${!names[@]}"; do
      grep -qxF -- "${names[i]}" <<< "$lost" || ! grep -qxF -- "${names[i]}" <<< "${kept:-${names[i]}}" || up+=("$i")
    done
  else
    for i in "${!names[@]}"; do answers "${names[i]}" & pids[i]=$!; done
    for i in "${!names[@]}"; do ! wait "${pids[i]}" || up+=("$i"); done
  fi
}
count_ranks() {
  local i all=0 left=0
  for i in "${!names[@]}"; do all=$((all + slots[i])); done
  for i in "${up[@]}"; do left=$((left + slots[i])); done
  ranks=${wanted:-$all}
  if [ "$all" -gt 0 ]; then ranks=$((ranks * left / all)); fi
  [ -n "$wanted$allocation" ] || [ "$all" -gt 0 ] || ranks=$(nproc)
  ranks=$((ranks >> (fruitless / 2)))
  [ "$ranks" -le "$most" ] || ranks=$most
  [ "$ranks" -ge "$least" ] || ranks=$least
}
compose() {  # the launcher's command line, but for the program
  local chosen=() i some=
  for i in "${up[@]}"; do chosen+=("${texts[i]}"); done
  [ ${#up[@]} = ${#names[@]} ] || some=yes
  case ${launcher##*/} in
    srun*)
      command=("$launcher" --mpi=pmix --kill-on-bad-exit=1 --job-name="lockstep.$attempt" --ntasks="$ranks")
      if [ -n "$some" ]; then  # srun compares these with the allocation, which is smaller now
        command=(env -u SLURM_JOB_NUM_NODES -u SLURM_NNODES -u SLURM_TASKS_PER_NODE "${command[@]}"
          --nodes=${#up[@]} --nodelist="$(IFS=,; echo "${chosen[*]%:*}")")
      fi ;;
    *)
      command=("$launcher" -np "$ranks")
      if [ -n "$hostfile" ]; then
        printf '%s\n' "${chosen[@]}" > "$session/hosts"
        command+=(--hostfile "$session/hosts")
      elif [ -n "$some" ] || { [ -z "$allocation" ] && [ ${#names[@]} -gt 0 ]; }; then
        command+=(--host "$(IFS=,; echo "${chosen[*]}")")
      fi
      [ ${#names[@]} = 0 ] || [ -z "${LOCKSTEP_FAULT:-}" ] || command+=(-x LOCKSTEP_FAULT) ;;
  esac
  command+=("${words[@]}")
}

asked=0 launched=
stop() {  # mpirun turns TERM into KILL within a second; a second INT is meant so
  asked=$((asked + 1))
  [ -n "$launched" ] || return 0
  if [ "$1" = INT ] && [ $asked -gt 1 ]; then kill -TERM "$launched"; else kill -USR1 "$launched"; fi 2> /dev/null
}
for signal in TERM INT USR1 USR2; do
  # shellcheck disable=SC2064
  trap "stop $signal" $signal
done
session=$(mktemp -d "${TMPDIR:-/tmp}/lockstep.XXXXXX") || exit 2
# Open MPI's files are of this job alone and go with it, whatever ends it; but where other nodes would be told
# of folders that they do not have.
own=(env "OMPI_MCA_shmem=${OMPI_MCA_shmem:-mmap}") shared=  # another kind would try itself out in /dev/shm
[ -n "$allocation" ] || own+=("TMPDIR=$session")
if [ ${#names[@]} = 0 ] && shared=$(mktemp -d /dev/shm/lockstep.XXXXXX 2> /dev/null); then
  own+=("OMPI_MCA_btl_vader_backing_directory=$shared" "OMPI_MCA_btl_sm_backing_directory=$shared")
fi
trap 'rm -rf "$session" ${shared:+"$shared"}' EXIT

# Ranks that outlived their launcher would write to the folder of those that follow.
leave_none() {
  local i left=
  for ((i = 0; i < 100; ++i)); do
    left=$(ps -o pid=,stat= -s "$launched" | awk '$2 !~ /^Z/ { print $1 }')
    # shellcheck disable=SC2086
    [ -z "$left" ] || kill -KILL $left 2> /dev/null
    if [ "${launcher##*/}" = srun ]; then
      left+=$(squeue --noheader --steps --job="$SLURM_JOB_ID" --format='%i %j' |
        awk -v name="lockstep.$attempt" '$2 == name { print $1 }')
      [ "$i" = 0 ] && [ -n "$left" ] && scancel "$left"
    fi
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  say "processes of attempt $attempt cannot be ended: ${left//$'\n'/ }"
  exit 70
}

# A session of its own: a terminal's Ctrl-C shall reach this script alone. Should this script be killed, the
# launcher is asked to stop.
guard=(setsid)
! setpriv --pdeathsig keep true 2> /dev/null || guard=(setsid setpriv --pdeathsig USR1)
launch() {  # sets code
  local seen
  LOCKSTEP_ATTEMPT=$attempt "${own[@]}" "${guard[@]}" "${command[@]}" "$program" train "$@" < /dev/null &
  launched=$!
  [ $asked = 0 ] || kill -USR1 "$launched" 2> /dev/null
  while :; do
    seen=$asked code=0
    wait "$launched" || code=$?
    [ "$asked" != "$seen" ] || break
  done
  leave_none
  launched=
}

why_of() {
  case $1 in
    75) echo "stopped with a checkpoint" ;;
    74) echo "a rank did not answer" ;;
    137) echo "a rank was killed" ;;
    70) echo "a bug stopped it" ;;
    *) echo "ended with code $1" ;;
  esac
}

IFS='|' read -ra faults <<< "${LOCKSTEP_FAULT:-}"
tries=${LOCKSTEP_TRIES:-5} pause=${LOCKSTEP_RESTART_WAIT:-5}
fruitless=0 why='' reached=-1  # the highest step of a checkpoint that an attempt made
for ((attempt = 1; ; ++attempt)); do
  survey
  [ $asked = 0 ] || exit 75
  count_ranks
  unset LOCKSTEP_FAULT
  [ -z "${faults[attempt - 1]:-}" ] || export LOCKSTEP_FAULT="${faults[attempt - 1]}"
  compose
  lost=$((${#names[@]} - ${#up[@]}))
  if [ $lost -gt 0 ] && [ ${#up[@]} = 0 ]; then
    say "attempt $attempt: no host answers: ${names[*]}"
    code=1 why="no host answered" before=$(listing)
  else
    [ $lost = 0 ] || why+="${why:+; }$lost of ${#names[@]} hosts are lost"
    before=$(listing)
    newest=$(highest <<< "$before")
    say "attempt $attempt: $ranks ranks from step ${newest:-0}${why:+ ($why)}"
    launch "$@"
    why=$(why_of "$code")
  fi
  case $code in 0 | 2 | 3) exit "$code" ;; esac
  if [ $asked -gt 0 ]; then
    newest=$(listing | highest)
    [ "$code" = 75 ] || say "asked to stop, but $why; the newest checkpoint is of step ${newest:-0}"
    exit 75
  fi
  # By what is there now and was not before: a damaged file may keep its name for long.
  step=$(comm -13 <(printf '%s\n' "$before") <(listing) | highest)
  step=${step:--1}
  # Train never ends with 1: a launcher does, at first because of what it was told.
  [ "$code" != 1 ] || [ "$attempt" -gt 1 ] || [ "$step" -gt "$reached" ] || [ ${#up[@]} -lt ${#names[@]} ] || exit 1
  fruitless=$((fruitless + 1))
  if [ "$step" -gt "$reached" ]; then fruitless=0 reached=$step; fi
  if [ "$fruitless" -ge "$tries" ]; then
    say "$why, the ${fruitless}th time without a new checkpoint: what stops it does not go away; see what it said above"
    exit "$code"
  fi
  [ "$code" != 75 ] || continue
  seconds=$((pause << (fruitless > 6 ? 6 : fruitless)))
  sleep $seconds &
  wait $! || { kill $! 2> /dev/null; exit 75; }  # a signal came
done
