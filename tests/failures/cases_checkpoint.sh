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
case_damaged_checkpoint() {
  train 2 "checkpoint.dir=$folder/run" --stop-after=20
  succeeds
  local newest=$folder/run/step-0000000020.h5 size
  size=$(stat -c %s "$newest")
  cp "$newest" "$folder/whole.h5"
  truncate -s $((size * 2 / 3)) "$newest"
  train 2 "checkpoint.dir=$folder/run" --resume
  says 3 'step-0000000020\.h5' 'truncated' 'remove it' '--resume'
  cp "$folder/whole.h5" "$newest"
  printf '\xff\x01\x7f' | dd of="$newest" bs=1 seek=$((size / 2)) conv=notrunc status=none
  train 3 "checkpoint.dir=$folder/run" --resume
  says 3 'step-0000000020\.h5' 'damaged|changed' 'remove it'
  # As the sentence says: without the damaged file the run goes on from the one before.
  rm "$newest"
  intact "$folder/run" 18
  train 2 "checkpoint.dir=$folder/run" --resume
  succeeds
  local resumed
  resumed=$(digest)
  train 1
  same "$(digest)" "$resumed" "resumed from the checkpoint before"
}
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
