#!/usr/bin/env bash
# An import that is killed leaves no dataset behind, and the next one takes over what it left; two at
# once to one name are refused. The program's options, exit codes and silence. Arguments: the program,
# mpirun.sh.
set -euo pipefail
program=$1 mpirun=$2
cd "$(mktemp -d "${TMPDIR:-/tmp}/lockstep.XXXXXX")"; trap 'rm -rf "$PWD"' EXIT
failed=0
fail() { echo "FAILED: $*"; failed=1; }
expect() {  # exit code, words, command...
  local code=0 wanted=$1 words=$2; shift 2
  "$@" > out.txt 2> err.txt || code=$?
  [ "$code" = "$wanted" ] || { fail "'$*' ends with $code, not $wanted"; cat out.txt err.txt; }
  [ -z "$words" ] || grep -qF -- "$words" err.txt || { fail "'$*' does not say '$words'"; cat err.txt; }
}
import=(import --format raw --type u8 --shape 1000 --deflate 9 --chunk-bytes 20000 --out a.h5)
# Slow to pack: about two seconds.
head -c 30000000 /dev/urandom | base64 -w 0 | head -c 40000000 > a.raw

# Kills the import when its file has grown to some size.
killed() {  # signal, command...
  local signal=$1; shift
  "$@" > /dev/null 2>&1 & local job=$!
  for _ in $(seq 400); do
    [ "$(stat -c %s a.h5.importing 2> /dev/null || echo 0)" -lt 1000000 ] || break
    sleep 0.02
  done
  # Of mpirun.sh the mpirun that it has started.
  kill "-$signal" "$(pgrep -P $job -x mpirun || echo $job)"
  wait $job && fail "an import that got $signal ends with 0"
  [ ! -e a.h5 ] || fail "an import that got $signal left a dataset"
}
killed KILL "$program" "${import[@]}" --train a.raw
[ -e a.h5.importing ] || fail "the import was done before it was killed"
# A job in the background ignores what Ctrl-C sends, unless told otherwise.
killed INT env --default-signal=INT "$program" "${import[@]}" --train a.raw
killed TERM "$mpirun" -np 2 "$program" "${import[@]}" --train a.raw

# While one runs, another to the same name is refused. (What the last one left would look like the running one's.)
rm -f a.h5.importing
"$program" "${import[@]}" --train a.raw > /dev/null 2>&1 & first=$!
while [ "$(stat -c %s a.h5.importing 2> /dev/null || echo 0)" -lt 1000000 ] && kill -0 $first; do sleep 0.02; done
expect 2 "another import is writing" "$program" "${import[@]}" --train a.raw
wait $first || fail "the first of two imports failed"
[ ! -e a.h5.importing ] || fail "a finished import left its temporary file"
expect 2 "--overwrite" "$mpirun" -np 2 "$program" "${import[@]}" --train a.raw
expect 0 "" "$mpirun" -np 3 "$program" -q "${import[@]}" --train a.raw --overwrite
if [ -s out.txt ] || [ -s err.txt ]; then fail "--quiet says something"; fi
expect 0 "" "$program" inspect --check a.h5

# Refusals, alone and under mpirun.
head -c 39999999 a.raw > b.raw
for run in "" "$mpirun -np 2"; do
  # shellcheck disable=SC2086
  expect 3 "b.raw" $run "$program" "${import[@]}" --train b.raw --overwrite
  # shellcheck disable=SC2086
  expect 2 "cannot tell the format" $run "$program" import --train a.raw --out b.h5
done
[ "$(find . -name '*.importing' | wc -l)" = 0 ] || fail "a refused import left its temporary file"
"$program" import --help > help.txt
for word in npy npz png netcdf jsonl raw csv tsv idx --missing --separator --record --alpha; do
  grep -qF -- "$word" help.txt || fail "import --help does not name $word"
done
exit $failed
