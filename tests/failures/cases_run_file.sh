# Mistakes in the run file and on the command line. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

case_run_file() {
  for ranks in 0 2; do
    run $ranks train "$folder/none.toml"
    says 2 'none\.toml' 'No such file|there is no'
    printf '[train]\nbatsh = 48\n' > "$folder/key.toml"
    run $ranks train "$folder/key.toml"
    says 2 'key\.toml:2: ' 'train\.batsh' 'did you mean train\.batch'
    printf '[train]\nbatch = 48\nlanes = "many"\n' > "$folder/value.toml"
    run $ranks train "$folder/value.toml"
    says 2 'value\.toml:3: ' 'train\.lanes' 'integer'
    printf '[train]\nbatch = -1\n' > "$folder/range.toml"
    run $ranks train "$folder/range.toml"
    says 2 'range\.toml' 'train\.batch' '-1' '1'
    printf '[train\nbatch = 48\n' > "$folder/syntax.toml"
    run $ranks train "$folder/syntax.toml"
    says 2 'syntax\.toml:1'
    printf '[optimizer]\nkind = "adamm"\n' > "$folder/word.toml"
    run $ranks train "$folder/word.toml"
    says 2 'word\.toml' 'optimizer\.kind' 'adamm' 'adam'
  done
  run 2 train "$folder"
  says 2 "$folder" 'directory'
}
case_overrides() {
  train 2 checkpoint.dir= --resume
  says 2 '--resume needs a folder' 'checkpoint\.dir'
  train 2 train.batsh=3
  says 2 'train\.batsh' 'batch'
  train 2 train.batch=47
  says 2 'train\.batch = 47' 'lanes' '40 and 48'
  train 2 checkpoint.every=soon
  says 2 'checkpoint\.every' 'soon' '10min'
  train 2 train.monitor=top5
  says 2 'train\.monitor' 'top5' 'accuracy'
  train 2 --resume --overwrite
  says 2 'resume' 'overwrite'
}
case_unreadable_run_file() {
  local as_user=()  # root reads everything, unless it gives up that right
  [ "$(id -u)" != 0 ] || as_user=(setpriv --bounding-set=-dac_override,-dac_read_search)
  printf '[train]\nbatch = 48\n' > "$folder/secret.toml"
  chmod 000 "$folder/secret.toml"
  status=0
  timeout "$limit" "${as_user[@]}" "$program" train "$folder/secret.toml" > "$out" 2> "$err" || status=$?
  says 2 'secret\.toml' 'Permission denied'
}
# A batch is refused only where there is no step to make: it may be the whole dataset.
case_batch_sizes() {
  train 2 "data.path=$work/nan_val.h5" data.val= train.batch=400 train.steps=3
  succeeds
  train 2 "data.path=$work/nan_val.h5" data.val= train.batch=408 train.steps=3
  says 2 'train\.batch = 408' 'nan_val\.h5' '400'
}
