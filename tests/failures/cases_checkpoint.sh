# Checkpoints that cannot be written or read. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

case_folder_in_use() {
  train 2 "checkpoint.dir=$folder/run" --stop-after=10
  succeeds
  train 2 "checkpoint.dir=$folder/run"
  says 2 "$folder/run" '--resume' '--overwrite'
  intact "$folder/run" 10
  train 2 "checkpoint.dir=$folder/run" --overwrite --stop-after=3
  succeeds
  intact "$folder/run" 3
  train 2 "checkpoint.dir=$folder/fresh" --resume --stop-after=3
  succeeds
}
case_other_model() {
  train 2 "checkpoint.dir=$folder/run" --stop-after=10
  succeeds
  train 2 "checkpoint.dir=$folder/run" 'model.hidden=[23]' --resume
  says 2 'step-0000000010\.h5' 'hidden1\.weight' '19' '23' 'checkpoint\.dir'
  train 2 "checkpoint.dir=$folder/run" optimizer.kind=sgd --resume
  says 2 'step-0000000010\.h5' 'optimizer/m' 'optimizer\.kind'
  # Another order of samples in the middle of an epoch; at its end it is a new beginning.
  for change in train.batch=96 train.lanes=4 train.seed=5; do
    train 2 "checkpoint.dir=$folder/run" $change --resume
    says 2 'step-0000000010\.h5' 'middle of epoch 1' "${change/=/ = }" 'in the checkpoint'
  done
  train 2 "checkpoint.dir=$folder/run" "data.path=$work/nan_val.h5" data.val= --resume
  says 2 'step-0000000010\.h5'
  intact "$folder/run" 10
  train 2 "checkpoint.dir=$folder/run" --resume --stop-after=18
  succeeds
  train 3 "checkpoint.dir=$folder/run" --resume train.batch=96 --stop-after=20
  succeeds
  grep -q 'goes on with train.batch = 96 (48 in the checkpoint)' "$out" || fail "the change is not said"
  intact "$folder/run" 20
}
# A damaged checkpoint is passed over for the one before it, which is said; the run ends with the bits of
# one that met no damage. If none is left that is sound, that is an error, and no fresh start.
case_damaged_checkpoint() {
  train 2 "checkpoint.dir=$folder/run" --stop-after=20
  succeeds
  local newest=$folder/run/step-0000000020.h5 size expected
  size=$(stat -c %s "$newest")
  cp -r "$folder/run" "$folder/whole"
  train 1
  expected=$(digest)
  damaged_resume() {  # ranks, what is wrong
    train "$1" "checkpoint.dir=$folder/run" --resume
    succeeds
    [ "$(grep -c '^lockstep: warning: ' "$err")" = 1 ] || fail "not one warning"
    grep '^lockstep: warning: ' "$err" | grep -E "step-0000000020\.h5.*$2.*step-0000000018\.h5: 2 steps are done again" ||
      fail "the warning does not say what was passed over"
    same "$expected" "$(digest)" "resumed from the checkpoint before"
  }
  truncate -s $((size * 2 / 3)) "$newest"
  run 0 eval "$folder/run" --split val
  succeeds
  damaged_resume 2 'truncated'
  rm -r "$folder/run"
  cp -r "$folder/whole" "$folder/run"
  flip "$newest" $((size / 2))
  damaged_resume 3 'checksum'
  rm -r "$folder/run"
  cp -r "$folder/whole" "$folder/run"
  for file in "$folder"/run/step-*.h5; do truncate -s 1000 "$file"; done
  train 2 "checkpoint.dir=$folder/run" --resume
  says 3 'none of the [0-9] checkpoints' 'step-0000000020\.h5' 'checkpoint\.dir'
  run 0 eval "$folder/run" --split val
  says 3 'none of the checkpoints' "$folder/run"
}
flip() {  # file, byte
  printf '\xff\x01\x7f' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# Killed before the copy, between two pieces of the writing, and just before the new file gets its name:
# the checkpoint before stays the newest, and a resumed run ends with the bits of one that was not killed.
case_killed_in_save() {
  local place rank expected
  train 1 data.val=
  expected=$(digest)
  for place in snapshot:2 write:1 rename:0; do
    rank=${place#*:} place=${place%:*}
    rm -rf "$folder/run"
    LOCKSTEP_FAULT="kill rank=$rank at=$place step=20" train 3 "checkpoint.dir=$folder/run" data.val=
    [ "$status" = 137 ] || fail "exit code $status, expected 137 of a killed rank"
    intact "$folder/run" 10
    if [ "$place" != snapshot ]; then
      [ -e "$folder/run/step-0000000020.h5.tmp" ] || fail "nothing was being written at '$place'"
    fi
    train 2 "checkpoint.dir=$folder/run" data.val= --resume
    succeeds
    no_leftovers "$folder/run"
    same "$expected" "$(digest)" "killed at $place, resumed"
  done
}
# As an attempt leaves it that is killed when its last checkpoint has its name and is not yet marked as the best.
case_killed_before_best() {
  train 2 "checkpoint.dir=$folder/run"
  succeeds
  local best
  best=$(cat "$folder/run/best")
  echo step-0000000010.h5 > "$folder/run/best"
  echo "$best" > "$folder/run/best.tmp"
  [ -e "$folder/run/$best" ] && cmp -s "$folder/run/$best" "$(printf '%s\n' "$folder"/run/step-*.h5 | tail -1)" ||
    fail "the last step is not the best, so that this shows nothing"
  train 3 "checkpoint.dir=$folder/run" --resume
  succeeds
  same "$best" "$(cat "$folder/run/best")" "the best checkpoint"
  no_leftovers "$folder/run"
}
# Written beside the steps, or while they wait: the same checkpoints. A save that is due before the one
# before it is written waits for it, so that none is left out.
case_save_while_saving() {
  train 2 "checkpoint.dir=$folder/waits" checkpoint.every=4steps checkpoint.keep=100 checkpoint.background=false
  succeeds
  digests > "$folder/waits.txt"
  LOCKSTEP_FAULT="slow rank=1 at=write ms=60" train 3 "checkpoint.dir=$folder/beside" checkpoint.every=4steps \
    checkpoint.keep=100
  succeeds
  digests > "$folder/beside.txt"
  cmp "$folder/waits.txt" "$folder/beside.txt" || fail "other checkpoints: $(diff "$folder/waits.txt" "$folder/beside.txt")"
  [ "$(grep -c 'due before the ones before them are written' "$err")" = 1 ] || fail "not said once that the disk is slow"
  local file
  for file in "$folder"/waits/step-*.h5; do
    "$program" verify "$file" "$folder/beside/${file##*/}" > "$folder/verify.txt" || fail "$(cat "$folder/verify.txt")"
  done
  echo "ok: $(wc -l < "$folder/beside.txt") checkpoints"
}
digests() { grep -oE '^digest [0-9a-f]{32} after step [0-9]+' "$out"; }
case_folder_not_writable() {
  : > "$folder/file"
  train 2 "checkpoint.dir=$folder/file"
  says 2 'checkpoint\.dir' "$folder/file"
  if [ "$(id -u)" = 0 ]; then  # root writes everywhere but on a file system that is read-only
    mkdir "$folder/fixed"
    # shellcheck disable=SC2016
    with_mounts 'mount -t tmpfs tmpfs "$folder/fixed" && mount -o remount,ro "$folder/fixed" &&
      exec timeout "$limit" "$mpirun" -np 2 "$program" train "$here/model.toml" \
      --set "data.path=$work/good.h5" --set "checkpoint.dir=$folder/fixed"'
  else
    mkdir -m 555 "$folder/fixed"
    train 2 "checkpoint.dir=$folder/fixed"
  fi
  says 2 'checkpoint\.dir' "$folder/fixed" 'Read-only|Permission'
}
# The disk fills up after its space was looked at, while the copy is taken: one sentence at a later step,
# and the checkpoint before is intact.
case_disk_fills_up() {
  mkdir "$folder/disk"
  # shellcheck disable=SC2016
  with_mounts 'mount -t tmpfs -o size=300k tmpfs "$folder/disk" || exit 99
    export LOCKSTEP_FAULT="slow rank=0 at=snapshot step=20 ms=2000"
    timeout "$limit" "$mpirun" -np 3 "$program" train "$here/model.toml" --set "data.path=$work/good.h5" \
      --set "checkpoint.dir=$folder/disk/run" --set data.val= &
    for _ in $(seq 200); do [ ! -e "$folder/disk/run/step-0000000010.h5" ] || break; sleep 0.05; done
    sleep 0.5
    cat /dev/zero > "$folder/disk/filler" 2> /dev/null
    code=0
    wait $! || code=$?
    cp -r "$folder/disk/run" "$folder/saved"
    exit $code'
  says 2 'cannot save step-0000000020' "$folder/disk/run" 'free some space' 'intact'
  grep -q 'digest .* after step 10 in' "$out" || fail "the first checkpoint was not said"
  intact "$folder/saved" 10
  no_leftovers "$folder/saved"
}
# A file system of 300 KiB for eleven checkpoints of 45: some fit, and the one that does not leaves
# them alone.
case_full_disk() {
  mkdir "$folder/disk"
  # shellcheck disable=SC2016
  with_mounts 'mount -t tmpfs -o size=300k tmpfs "$folder/disk" || exit 99
    timeout "$limit" "$mpirun" -np 3 "$program" train "$here/model.toml" --set "data.path=$work/good.h5" \
      --set "checkpoint.dir=$folder/disk/run" --set checkpoint.every=4steps --set checkpoint.keep=100
    code=$?
    cp -r "$folder/disk/run" "$folder/saved"
    exit $code'
  says 2 'cannot save step-' "$folder/disk/run" 'free some space' 'intact'
  local last
  last=$(grep -oE 'after step [0-9]+' "$out" | tail -n 1 | grep -oE '[0-9]+')
  intact "$folder/saved" "$last"
  no_leftovers "$folder/saved"
}
