# What the cases are made of: submits jobs, waits for what they come to, asserts how they ended. Sourced by
# slurm.sh. Each case runs in a folder of its own; a job's output is NAME.out, its checkpoints are in NAME.
# shellcheck shell=bash disable=SC2154,SC2034
scripts=$here/../../slurm
slow="slow rank=0 at=forward step=1 ms=40; slow rank=1 at=forward step=1 ms=40"  # some 0.2 s a step, asleep

fail() {
  echo "FAILED: $*"
  local file
  for file in *.out *.csv *.err; do
    [ ! -s "$file" ] || { echo "--- $file:"; tail -n 12 "$file"; }
  done
  exit 1
}
digest_alone() {  # arguments of train: the digest of one process without Slurm
  "$program" train "$work/run.toml" --set "data.path=$work/small.h5" --set checkpoint.dir= "$@" |
    grep -oE '^digest [0-9a-f]{32}' | tail -n 1
}

# submit NAME SCRIPT OPTION... -- ARGUMENT...: sets job. Nodes from n5 on are for cases that name them.
submit() {
  local name=$1 script=$scripts/$2.sbatch options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  [[ " ${options[*]-}" == *" --exclude="* || " ${options[*]-}" == *" --nodelist="* ]] || options+=('--exclude=n[5-10]')
  job=$(sbatch --parsable --output="$name.out" "${options[@]}" "$script" "$@")
}
submit_run() {  # NAME, OPTIONS... [-- more arguments of train]: the run of all cases by train.sbatch
  local name=$1 options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# -eq 0 ] || shift
  submit "$name" train "${options[@]}" -- "$work/run.toml" --set "data.path=$work/small.h5" \
    --set "checkpoint.dir=$name" "$@"
}

field() { scontrol show job "$1" | grep -oE "(^| )$2=[^ ]*" | head -n 1 | cut -d = -f 2; }
until_true() {  # seconds, what, command...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "not within the time: $what"
    sleep 0.5
  done
}
is_over() { [[ $(field "$1" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|PREEMPTED)$ ]]; }
ends() {  # job, state, exit code of its script, times it was started again ("+": at least once)
  until_true 150 "job $1 ends; it is $(field "$1" JobState)" is_over "$1"
  local is
  is="$(field "$1" JobState) $(field "$1" ExitCode) $(field "$1" Restarts)"
  [[ $is =~ ^$2\ $3:[0-9]+\ ${4/+/[1-9]}$ ]] || fail "job $1 ended as $is, expected $2 $3 $4"
}
is_running() { [ "$(field "$1" JobState)" != PENDING ]; }
has_checkpoint() { find "$1/" -name 'step-*.h5' 2> /dev/null | grep -q .; }
saves() { until_true 60 "a checkpoint in $1" has_checkpoint "$1"; }  # NAME
says() { grep -qE -- "$2" "$1.out" || fail "$1.out does not say '$2'"; }  # NAME, pattern
says_not() { ! grep -qE -- "$2" "$1.out" || fail "$1.out says '$2'"; }
has_digest() {  # NAME, digest (of the run never disturbed)
  local got
  got=$(grep -oE '^digest [0-9a-f]{32}' "$1.out" | tail -n 1)
  [ "$got" = "${2:-$undisturbed}" ] || fail "$1: '$got', expected '${2:-$undisturbed}'"
  echo "ok: $1: $got"
}
intact() {  # NAME: its newest checkpoint can be read whole
  local newest
  newest=$(find "$1/" -name 'step-*.h5' | sort | tail -n 1)
  "$program" inspect --check "$newest" > inspect.txt 2>&1 || fail "$newest: $(cat inspect.txt)"
  echo "ok: $newest is intact"
}
