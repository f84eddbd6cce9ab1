# What the cases are made of: runs the program with a limit on time, and asserts how it ended and what
# it said. Sourced by failures.sh, which sets program, mpirun, work, here and case.
# shellcheck shell=bash disable=SC2154,SC2034
limit=40  # seconds; a run that fails does so at once, so one that reaches it hangs
folder=$work/$case
rm -rf "$folder"
mkdir -p "$folder"
out=$folder/out.txt err=$folder/err.txt

fail() {
  echo "FAILED: $*"
  echo "--- status $status, stdout:"; tail -n 30 "$out"
  echo "--- stderr:"; tail -n 40 "$err"
  exit 1
}

# run RANKS ARGUMENTS: 0 ranks means without mpirun. Sets status.
run() {
  local ranks=$1 launcher=()
  shift
  [ "$ranks" = 0 ] || launcher=("$mpirun" -np "$ranks")
  status=0
  timeout -k 5 "$limit" "${launcher[@]}" "$program" "$@" > "$out" 2> "$err" || status=$?
}
train() {  # RANKS OVERRIDES...: the small model, with section.key=value or --flags
  local ranks=$1 arguments=()
  shift
  for item in "$@"; do
    case $item in --*) arguments+=("$item") ;; *) arguments+=(--set "$item") ;; esac
  done
  run "$ranks" train "$here/model.toml" --set "data.path=$work/good.h5" "${arguments[@]}"
}

# says CODE PATTERN...: that exit code, and one sentence on stderr besides warnings, which holds every pattern.
says() {
  local expected=$1 sentence count
  shift
  [ "$status" != 124 ] && [ "$status" != 137 ] || fail "it hangs"
  [ "$status" = "$expected" ] || fail "exit code $status, expected $expected"
  count=$(grep '^lockstep: ' "$err" | grep -vc '^lockstep: warning: ' || true)
  [ "$count" = 1 ] || fail "$count sentences on stderr, expected one"
  sentence=$(grep '^lockstep: ' "$err" | grep -v '^lockstep: warning: ')
  for pattern in "$@"; do
    grep -qE -- "$pattern" <<< "$sentence" || fail "the sentence does not say '$pattern'"
  done
  echo "ok: $sentence"
}
# Ended well; warnings may be there.
succeeds() {
  [ "$status" = 0 ] || fail "exit code $status, expected 0"
  ! grep -v '^lockstep: warning: ' "$err" | grep -q '^lockstep: ' || fail "an error was said"
}
digest() { grep -oE '^digest [0-9a-f]{32}' "$out" | tail -n 1 | cut -d ' ' -f 2; }
same() {  # expected, got, what
  [ -n "$1" ] && [ "$1" = "$2" ] || fail "$3: digest '$2', expected '$1'"
  echo "ok: $3: $2"
}

# The newest checkpoint of a folder can be read whole, holds the step that is expected, and no
# half-written file lies beside it.
intact() {  # folder, step
  local newest
  newest=$(find "$1" -name 'step-*.h5' | sort | tail -n 1)
  [ "$newest" = "$1/$(printf 'step-%010d.h5' "$2")" ] || fail "newest checkpoint: '$newest', expected step $2"
  "$program" verify "$newest" "$newest" > "$folder/verify.txt" 2>&1 || fail "verify: $(cat "$folder/verify.txt")"
  "$program" inspect --check "$newest" > "$folder/inspect.txt" 2>&1 || fail "inspect: $(cat "$folder/inspect.txt")"
  echo "ok: $newest is intact"
}
no_leftovers() { ! find "$1" -name '*.tmp' | grep -q . || fail "half-written files in $1"; }

# Runs a shell script with mounts of its own, as root or in a user's own namespace. Sets status.
with_mounts() {
  local private=(unshare --mount)
  [ "$(id -u)" = 0 ] || private=(unshare --user --map-root-user --mount)
  "${private[@]}" mount -t tmpfs tmpfs /dev/shm 2> /dev/null || not_run "cannot mount in a namespace of its own"
  status=0
  folder=$folder work=$work here=$here program=$program mpirun=$mpirun limit=$limit \
    "${private[@]}" bash -c "$1" > "$out" 2> "$err" || status=$?
}

# A case that this user or machine cannot run fails: nobody shall believe that it passed.
not_run() {
  echo "FAILED, NOT RUN: $*"
  exit 1
}
