# The cases of examples.sh, which sources this file.
# shellcheck shell=bash disable=SC2154,SC2034

images=$work/images.h5 text=$work/text.h5 volumes=$work/volumes.h5

case_setup() {
  /usr/bin/python3 "$here/make_data.py" "$work"
  set -- --quiet import --overwrite
  "$program" "$@" --format idx --out "$images" --train "$work"/train-images-idx3-ubyte "$work"/train-labels-idx1-ubyte \
    --test "$work"/t10k-images-idx3-ubyte "$work"/t10k-labels-idx1-ubyte
  "$program" "$@" --out "$work/no_val.h5" --val-fraction 0 --train "$work/sign.csv"
  "$program" "$@" --out "$work/sign.h5" --test-fraction 0.2 --train "$work/sign.csv"
  "$program" "$@" --format text --out "$text" --train "$work/text.txt"
  "$program" "$@" --out "$work/value.h5" --test-fraction 0.2 --target-kind value --train "$work/value.csv"
}

# Ends well; prints the digest. The arguments are the program's.
good() {  # ranks, arguments
  run "$@"
  succeeds >&2
  digest
}

case_example() {
  local one two small=(--set "data.path=$images")
  case $(basename "$example" .toml) in
    cosmoflow) small=(--set "data.path=$volumes" --set train.batch=8) ;;
    gpt | llama | novels) small=(--set "data.path=$text" --set train.batch=8 --set data.sequence=64) ;;
  esac
  run 2 train "$example" --check "${small[@]}" --set "checkpoint.dir=$folder/run"
  succeeds
  grep -q 'total per rank' "$out" || fail "--check prints no ledger"
  [ ! -e "$folder/run" ] || fail "--check made the checkpoint folder"
  two=$(good 2 train "$example" --stop-after 1 "${small[@]}" --set "checkpoint.dir=$folder/run")
  one=$(good 1 train "$example" --stop-after 1 "${small[@]}" --set checkpoint.dir=)
  same "$two" "$one" "one rank and two"
  intact "$folder/run" 1
  "$program" config "$example" > "$folder/once.toml"
  "$program" config "$folder/once.toml" > "$folder/twice.toml"
  cmp "$folder/once.toml" "$folder/twice.toml" || fail "the resolved run is not read as it is printed"
}

# A run file of five lines: data, preset, and what follows.
short() {  # data, preset, lines...
  printf '[data]\npath = "%s"\n[model]\npreset = "%s"\n' "$1" "$2"
  shift 2
  printf '%s\n' "$@"
}

# More threads than a rank has lanes: the threads without a lane rest.
case_threads() {
  short "$images" linear '[train]' 'batch = 64' 'lanes = 4' 'steps = 12' > "$folder/run.toml"
  local reference
  reference=$(good 1 train "$folder/run.toml")
  same "$reference" "$(good 1 train "$folder/run.toml" --set run.threads=7)" "7 threads for 4 lanes"
  same "$reference" "$(good 3 train "$folder/run.toml" --set run.threads=4)" "4 threads for 1 or 2 lanes"
  find "$folder" -name 'step-*' | grep -q . && fail "checkpoints without checkpoint.dir"
  [ ! -e metrics.jsonl ] || fail "metrics without checkpoint.dir"
}

case_no_validation() {
  short "$work/no_val.h5" linear '[train]' 'batch = 16' 'epochs = 2' > "$folder/run.toml"
  good 2 train "$folder/run.toml" --set "checkpoint.dir=$folder/run"
  ! grep -q 'val loss' "$out" || fail "a split that is absent was evaluated"
  run 2 train "$folder/run.toml" --set train.patience=2
  says 2 'train\.patience = 2' 'no_val\.h5' 'data\.val'
  run 2 train "$folder/run.toml" --set data.val=valid
  says 2 'data\.val = "valid"' 'no_val\.h5' 'train'
  run 2 eval "$folder/run"
  says 2 'no_val\.h5' "'test'" '--split'
  run 2 eval "$folder/run" --split train
  succeeds
}

# One lane; and a batch that is the whole split, alone in its epoch.
case_extremes() {
  short "$work/no_val.h5" mlp 'hidden = [7]' '[train]' 'lanes = 1' 'batch = 601' 'epochs = 3' > "$folder/run.toml"
  good 1 train "$folder/run.toml"
  grep -q 'steps *3, 1 to the epoch' "$out" || fail "not one step to the epoch"
  run 2 train "$folder/run.toml"
  says 2 '2 ranks' 'train.lanes = 1' 'train\.lanes'
  run 1 train "$folder/run.toml" --set train.batch=602
  says 2 'train\.batch = 602' '601' 'no_val\.h5'
  # Of 601 samples 8 lanes take 600; the one that is left over is no step of its own.
  same "$(good 1 train "$folder/run.toml" --set train.lanes=8 --set train.batch=600)" \
    "$(good 5 train "$folder/run.toml" --set train.lanes=8 --set train.batch=600)" "a batch of nearly everything"
}

# The figure NAME of the last line that names a split.
figure() { grep -oE "$1 -?[0-9.]+" "$out" | tail -n 1 | cut -d ' ' -f 2; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a >= b) }' || fail "$3: $1 is less than $2"; echo "ok: $3 $1"; }

case_regression() {
  local loss
  for loss in mse mae; do
    short "$work/value.h5" linear "loss = \"$loss\"" '[train]' 'batch = 32' 'epochs = 40' 'monitor = "r2"' \
      '[optimizer]' 'kind = "adam"' 'lr = 0.05' > "$folder/$loss.toml"
    same "$(good 1 train "$folder/$loss.toml")" \
      "$(good 3 train "$folder/$loss.toml" --set "checkpoint.dir=$folder/$loss")" "$loss on 1 and 3 ranks"
    run 2 eval "$folder/$loss"
    succeeds
    at_least "$(figure r2)" 0.99 "r2 with $loss"
    at_least 0.2 "$(figure mae)" "mae with $loss, at most"
  done
}

case_binary_cross_entropy() {
  short "$work/sign.h5" linear 'loss = "binary_cross_entropy"' '[train]' 'batch = 32' 'epochs = 40' \
    '[optimizer]' 'kind = "adam"' 'lr = 0.05' > "$folder/run.toml"
  same "$(good 1 train "$folder/run.toml")" \
    "$(good 3 train "$folder/run.toml" --set "checkpoint.dir=$folder/run")" "1 and 3 ranks"
  run 2 eval "$folder/run"
  succeeds
  at_least "$(figure accuracy)" 0.95 accuracy
  # What is neither 0 nor 1 is no target of this loss.
  run 2 train "$folder/run.toml" --set "data.path=$images"
  says 2 'binary_cross_entropy' "'label'" '10 classes' 'softmax_cross_entropy'
  run 2 train "$folder/run.toml" --set "data.path=$work/value.h5"
  says 2 'binary_cross_entropy' "'target'" 'from -10\.' 'mse'
}

case_early_stopping() {
  short "$images" mlp 'hidden = [64]' '[train]' 'batch = 40' 'epochs = 200' 'patience = 3' '[optimizer]' 'lr = 0.01' \
    '[checkpoint]' "dir = \"$folder/run\"" > "$folder/run.toml"
  local ended steps
  ended=$(good 2 train "$folder/run.toml")
  grep -q 'stopped early: loss has not improved for 3 evaluations' "$out" || fail "it did not stop early"
  steps=$(wc -l < "$folder/run/metrics.jsonl")
  same "$ended" "$(good 3 train "$folder/run.toml" --resume)" "resumed after it stopped early"
  [ "$(wc -l < "$folder/run/metrics.jsonl")" = "$steps" ] || fail "the resumed run went on"
  same "$ended" "$(good 1 train "$folder/run.toml" --set train.patience=0 --set train.epochs=1 --resume)" \
    "resumed with fewer epochs than are done"
  # The best checkpoint is kept, beside the newest.
  run 2 eval --best "$folder/run" --split val
  succeeds
}

# A model that has learned its text goes on with it in the text's own words, and from any checkpoint of
# the same digest in the same ones.
case_generation() {
  short "$text" gpt 'blocks = 2' 'embedding = 48' 'heads = 3' '[train]' 'batch = 32' 'steps = 200' '[optimizer]' 'lr = 3e-3' \
    'warmup = 20' 'clip = 1.0' '[checkpoint]' 'every = "end"' > "$folder/run.toml"
  sed -i '/^path/a sequence = 64' "$folder/run.toml"
  same "$(good 1 train "$folder/run.toml" --set "checkpoint.dir=$folder/one" --set train.recompute=block)" \
    "$(good 2 train "$folder/run.toml" --set "checkpoint.dir=$folder/two")" "1 and 2 ranks"
  local arguments=(--prompt "the sea was " --tokens 53) word
  run 0 generate "$folder/two" "${arguments[@]}"
  succeeds
  cp "$out" "$folder/sampled.txt"
  run 1 generate "$folder/one" "${arguments[@]}"
  succeeds
  cmp "$out" "$folder/sampled.txt" || fail "another text from the checkpoint of one rank"
  run 0 generate "$folder/one" "${arguments[@]}" --seed 2
  ! cmp -s "$out" "$folder/sampled.txt" || fail "the same text with another seed"
  run 0 generate "$folder/two" "${arguments[@]}" --greedy
  succeeds
  grep -q '^the sea was ' "$out" || fail "the prompt is not there"
  cp "$out" "$folder/greedy.txt"
  [ "$(tr -d '. \n' < "$out" | wc -c)" -gt 40 ] || fail "nothing but spaces was learned"
  for word in $(tr -d . < "$out" | sed '$s/[a-z]*$//'); do
    grep -qw "$word" "$work/text.txt" || fail "'$word' is no word of the text"
  done
  run 0 generate "$folder/two" "${arguments[@]}" --top-k 1
  cmp "$out" "$folder/greedy.txt" || fail "top-k 1 is not greedy"
  run 0 --quiet generate "$folder/two" "${arguments[@]}" --greedy
  [ "the sea was $(cat "$out")" = "$(cat "$folder/greedy.txt")" ] || fail "quiet: not the text without the prompt"
  printf 'the sea was ' > "$folder/prompt.txt"
  run 0 generate "$folder/two" --prompt-file "$folder/prompt.txt" --tokens 53 --greedy
  cmp "$out" "$folder/greedy.txt" || fail "another text with the prompt in a file"
}

# Images that are cut and mirrored at random with their masks: the same bits on any number of ranks and
# threads, and when a run goes on in the middle of an epoch; and the statistics of training in evaluation.
case_transforms() {
  cat > "$folder/run.toml" << END
[data]
path = "$work/squares.h5"
input = "image"
target = "mask"
[[data.fields]]
name = "image"
path = "/{split}/image"
axes = [1, 2, 0]
crop = [12, 12]
crop_random = true
flip = [0, 1]
log1p = true
scale = 2.0
offset = -1.0
normalise = "channel"
[[data.fields]]
name = "mask"
path = "/{split}/mask"
crop = [12, 12]
crop_random = true
flip = [0, 1]
[[data.splits]]
name = "train"
[[data.splits]]
name = "val"
[[data.splits]]
name = "test"
[model]
loss = "softmax_cross_entropy"
outputs = 2
[[model.layers]]
kind = "conv"
out = 8
kernel = [3, 3]
padding = 1
[[model.layers]]
kind = "relu"
[[model.layers]]
kind = "conv"
out = 2
kernel = [3, 3]
padding = 1
[train]
batch = 36
lanes = 6
accumulate = 2
epochs = 6
[optimizer]
kind = "adam"
lr = 0.01
END
  local reference ranks
  reference=$(good 1 train "$folder/run.toml" --set "checkpoint.dir=$folder/one")
  for ranks in 2 3; do
    same "$reference" "$(good $ranks train "$folder/run.toml" --set run.threads=$((4 - ranks)))" "$ranks ranks"
  done
  same "$reference" "$(good 3 train "$folder/run.toml" --set assignment.kind=queue)" "lanes that move"
  good 3 train "$folder/run.toml" --set "checkpoint.dir=$folder/two" --stop-after 11
  same "$reference" "$(good 2 train "$folder/run.toml" --set "checkpoint.dir=$folder/two" --resume)" "resumed in an epoch"
  same "$(good 1 train "$folder/run.toml" --set data.shuffle=full)" "$(good 3 train "$folder/run.toml" --set data.shuffle=full)" \
    "all samples permuted, on 1 and 3 ranks"
  # Another crop is another run.
  [ "$(good 2 train "$folder/run.toml" --set train.seed=2)" != "$reference" ] || fail "the seed draws nothing"
  run 0 eval "$folder/one"
  succeeds
  at_least "$(figure accuracy)" 0.97 "accuracy of the masks' pixels"
  cp "$out" "$folder/evaluated"
  run 3 eval "$folder/one"
  cmp "$out" "$folder/evaluated" || fail "another evaluation on 3 ranks"
  # Numbers from a file with another training split, by the statistics of the one that was trained on.
  short "$work/squares.h5" mlp 'hidden = [16]' '[train]' 'batch = 36' 'lanes = 6' 'epochs = 2' '[checkpoint]' \
    "dir = \"$folder/total\"" '[[data.fields]]' 'name = "image"' 'path = "/{split}/image"' 'normalise = "channel"' \
    '[[data.fields]]' 'name = "total"' 'path = "/{split}/total"' 'normalise = "standard"' 'role = "target"' > "$folder/total.toml"
  sed -i '/^path = ".*h5"/a input = "image"' "$folder/total.toml"
  printf '[[data.splits]]\nname = "%s"\n' train val test >> "$folder/total.toml"
  same "$(good 1 train "$folder/total.toml" --set checkpoint.dir=)" "$(good 3 train "$folder/total.toml")" \
    "a target that is normalised"
  run 2 eval "$folder/total"
  succeeds
  cp "$out" "$folder/evaluated"
  cp "$work/squares.h5" "$folder/foreign.h5"
  /usr/bin/python3 -c "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); [d.write_direct(d[...] * 3) for d in \
    (f['train/image'], f['train/total'])]" "$folder/foreign.h5"
  run 1 eval "$folder/total" --data "$folder/foreign.h5"
  succeeds
  same "$(grep -o 'loss.*' "$folder/evaluated")" "$(grep -o 'loss.*' "$out")" "evaluated with the statistics of training"
}

# On the real data, beside least squares, which its script does.
case_heat_flux() {
  local example=$here/../../examples/heat_flux
  /usr/bin/python3 "$example/prepare.py" "$folder/data.h5" | tee "$folder/prepared"
  set -- train "$example/run.toml" --set "data.path=$folder/data.h5" --set train.epochs=8
  same "$(good 1 "$@" --set checkpoint.dir=)" "$(good 3 "$@" --set "checkpoint.dir=$folder/run")" "1 and 3 ranks"
  run 2 eval "$folder/run"
  succeeds
  at_least "$(figure r2)" 0.995 "r2 of the network"
  at_least 0.97 "$(grep -oE 'r2 [0-9.]+' "$folder/prepared" | cut -d ' ' -f 2)" "r2 of least squares, at most"
}

case_salinity() {
  local example=$here/../../examples/salinity
  /usr/bin/python3 "$example/prepare.py" "$folder/data.h5"
  same "$(good 1 train "$example/run.toml" --stop-after 3 --set "data.path=$folder/data.h5" --set checkpoint.dir=)" \
    "$(good 2 train "$example/run.toml" --stop-after 3 --set "data.path=$folder/data.h5" --set "checkpoint.dir=$folder/run")" \
    "1 and 2 ranks"
  run 2 eval "$folder/run"
  succeeds
  grep -q ' 1777 samples, ' "$out" || fail "not every patch was counted"
}

# 307 test images on 1, 2 and 3 ranks, and by numpy: the same figures.
case_evaluation() {
  local ranks reference
  good 2 train "$here/../../examples/linear.toml" --set "data.path=$images" --set "checkpoint.dir=$folder/run" \
    --set train.epochs=2 --set train.batch=64
  for ranks in 0 1 2 3; do
    run $ranks eval "$folder/run"
    succeeds
    grep -q ' 307 samples, ' "$out" || fail "not every sample was counted"
    reference=${reference:-$(cat "$out")}
    [ "$(cat "$out")" = "$reference" ] || fail "other figures on $ranks ranks; expected: $reference"
  done
  run 2 eval "$folder/run" --set run.threads=3
  succeeds
  [ "$(cat "$out")" = "$reference" ] || fail "other figures on 3 threads; expected: $reference"
  # The same images in a file of another hand, without a training split or statistics: the model knows
  # what it was trained on.
  /usr/bin/python3 -c "import h5py, sys; a, b = h5py.File(sys.argv[1]), h5py.File(sys.argv[2], 'w'); a.copy('test', b)" \
    "$images" "$folder/foreign.h5"
  run 2 eval "$folder/run" --data "$folder/foreign.h5"
  succeeds
  [ "$(cat "$out")" = "$reference" ] || fail "other figures on another file; expected: $reference"
  run 0 eval "$folder/run" --split nowhere
  [ "$status" = 2 ] && grep -q "no samples in a split 'nowhere'" "$err" || fail "a missing split: $(cat "$err")"
  run 0 eval "$folder/run"
  /usr/bin/python3 "$here/evaluate.py" "$folder/run" "$images" "$(figure accuracy)" "$(figure loss)"
}
