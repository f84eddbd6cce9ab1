# Data that is missing, damaged or unsuitable. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

case_setup() {
  /usr/bin/python3 "$here/../contract/make_idx.py" "$work"
  set -- --quiet import --format idx --overwrite --val-fraction 0.1 --chunk-bytes $((144 * 50)) \
    --train "$work/images.idx" "$work/labels.idx"
  "$program" "$@" --out "$work/good.h5"
  "$program" "$@" --out "$work/packed.h5" --deflate 4
  /usr/bin/python3 "$here/make_data.py" "$work"
  /usr/bin/python3 "$here/../contract/make_text.py" "$work"
  head -c 4000 "$work/text.txt" > "$work/short.txt"
  "$program" --quiet import --format text --overwrite --train "$work/short.txt" --out "$work/text.h5"
  train 2
  succeeds
}

# The same file, alone and on three ranks, gives the same sentence and code.
bad_data() {  # name, code, patterns
  local name=$1
  shift
  for ranks in 0 3; do
    train $ranks "data.path=$work/$name.h5" "checkpoint.dir=$folder/run"
    says "$@"
  done
  [ ! -e "$folder/run" ] || intact_or_empty
}
intact_or_empty() { ! find "$folder/run" -name 'step-*' | grep -q . || fail "a checkpoint was written"; }

case_missing_data() { bad_data nowhere 2 'nowhere\.h5' 'data\.path'; }
case_truncated_data() {
  bad_data truncated 3 'truncated\.h5' 'truncated: [0-9]+ of its [0-9]+ bytes'
  bad_data empty 3 'empty\.h5'
  bad_data words 3 'words\.h5' 'HDF5'
}
case_damaged_chunk() {
  bad_data damaged 3 'damaged\.h5' '/train/image' "row(s)? $(cat "$work/damaged.row")"
  run 0 inspect --check "$work/damaged.h5"
  says 3 'damaged\.h5' '/train/image' "$(cat "$work/damaged.row")"
}
case_wrong_shapes() {
  bad_data unequal 3 'unequal\.h5' '/train' '400' '399'
  bad_data val_shape 2 'val_shape\.h5' '/val/image' '5x6' '6x6'
  bad_data no_split 2 'no_split\.h5' 'data\.train' 'test'
  bad_data names 2 'names\.h5' 'data\.(input|target)' 'quality'
  # Rows of 36 numbers for a model of images.
  printf '[data]\npath = "%s"\n[model]\npreset = "lenet"\n' "$work/flat.h5" > "$folder/lenet.toml"
  run 2 train "$folder/lenet.toml"
  says 2 'lenet' '36'
}
case_wrong_types() {
  bad_data complex 3 'complex\.h5' '/train/image' 'type'
  train 2 "data.path=$work/values.h5" model.loss=softmax_cross_entropy
  says 2 'model\.loss' 'label' 'f32'
}
case_nan_in_data() {
  bad_data nan 3 'nan\.h5' '/train/image' 'row 217' 'element 8' 'nan' 'data\.check_finite'
  bad_data nan_val 3 'nan_val\.h5' '/val/image' 'row 33' 'element 5' 'inf'
  run 0 inspect --check "$work/nan.h5"
  says 3 'nan\.h5' '/train/image' 'row 217'
  # Without the check the NaN reaches the loss: still nothing is applied.
  train 2 "data.path=$work/nan.h5" data.check_finite=false data.normalise=none
  says 3 'not finite' 'step' 'nothing was applied'
}
case_label_out_of_range() {
  bad_data label 3 'label\.h5' '/train/label' 'row 123' ' 9' '0 to 3'
  train 2 "data.path=$work/label.h5" model.outputs=10
  succeeds
}
# A sample that cannot be trusted gives way to the same one on any number of ranks, and is counted.
case_skipped_samples() {
  local expected=
  for ranks in 0 1 3; do
    train $ranks "data.path=$work/nan.h5" data.on_error=skip
    succeeds
    grep -q 'row 217' "$err" || fail "the skipped sample was not named"
    grep -qE 'skipped that could not be trusted: [1-9]' "$out" || fail "it was not counted"
    [ -n "$expected" ] || expected=$(digest)
    same "$expected" "$(digest)" "on $ranks ranks"
  done
  train 2 "data.path=$work/nan.h5" data.on_error=skip data.max_skipped=0
  says 3 'data\.max_skipped' '384'
}
# While it is read, a file becomes shorter: an error that no skipping hides.
case_data_vanish() {
  for way in stop skip; do
    cp "$work/good.h5" "$folder/shrinks.h5"
    : > "$out"
    (until grep -q 'step [0-9]' "$out"; do sleep 0.1; done; truncate -s 3000 "$folder/shrinks.h5") &
    train 2 "data.path=$folder/shrinks.h5" "data.on_error=$way" train.steps=10000000 log.every=0.5
    says 3 'shrinks\.h5' '/train/' 'shorter'
  done
}
