# Token models that do not fit, and generation that cannot be. Sourced by failures.sh.
# shellcheck shell=bash disable=SC2154,SC2034

text() {  # RANKS OVERRIDES...: the small token model
  local ranks=$1 arguments=()
  shift
  for item in "$@"; do
    case $item in --*) arguments+=("$item") ;; *) arguments+=(--set "$item") ;; esac
  done
  run "$ranks" train "$here/text.toml" --set "data.path=$work/text.h5" "${arguments[@]}"
}

case_token_models() {
  text 2
  succeeds
  for ranks in 0 2; do
    text $ranks model.heads=3
    says 2 'heads = 3' 'embedding = 16'
    text $ranks model.preset=llama model.heads=4 model.kv_heads=3
    says 2 'kv_heads = 3' 'heads = 4'
    text $ranks model.context=15
    says 2 'context' '15' '16'
    text $ranks data.sequence=100000
    says 2 'text\.h5' 'tokens' 'data\.sequence' '100000'
  done
  text 2 data.sequence=400
  says 2 'text\.h5' '"val"' '400' 'at most [0-9]+'
  text 2 model.loss=mse
  says 2 'model\.loss = "mse"' 'text' 'softmax_cross_entropy'
  text 2 model.outputs=255
  says 2 'model\.outputs = 255' '256'
  text 2 model.metrics=mae
  says 2 'mae'
  text 2 data.target=tokens
  says 2 'data\.target = "tokens"'
  text 2 model.kv_heads=1
  says 2 'model\.kv_heads' 'llama'
  text 2 train.precision=fp16
  says 2 'train\.precision = "fp16"' 'fp32, bf16'
  text 2 train.recompute=all
  says 2 'train\.recompute = "all"' 'none, block'
  # Without the arithmetic for it bf16 is refused by a sentence, and fp32 it is.
  text 2 run.isa=avx2
  succeeds
  local fp32
  fp32=$(digest)
  text 2 run.isa=avx2 train.precision=bf16
  succeeds
  [ "$(grep -c '^lockstep: warning: train\.precision = "bf16" computes in fp32' "$err")" = 1 ] || fail "not said that it is fp32"
  same "$fp32" "$(digest)" "bf16 where there is none"
  # Images are no text, and text is no image.
  text 2 "data.path=$work/good.h5" train.batch=48
  says 2 "preset 'gpt'" 'token numbers' '12x12'
  text 2 "data.path=$work/flat.h5" data.val= train.batch=48
  says 2 'embedding' 'token'
  run 2 train "$here/model.toml" --set "data.path=$work/text.h5" --set train.batch=16 --set data.sequence=16
  says 2 'token numbers' 'embedding'
}

# Layers of one's own that do not fit the text.
case_token_layers() {
  local head='[data]\npath = "'$work'/text.h5"\nsequence = 16\n[train]\nbatch = 16\nsteps = 2\n'
  layers() {  # layers as "kind key=value ..." each
    printf "$head" > "$folder/run.toml"
    local layer
    for layer in "$@"; do printf '[[model.layers]]\nkind = "%s"\n' "${layer%% *}"; [[ $layer != *\ * ]] || printf '%s\n' "${layer#* }" | tr ' ' '\n'; done >> "$folder/run.toml"
    run 2 train "$folder/run.toml"
  }
  layers 'embedding out=8' linear
  succeeds
  layers 'embedding out=8 vocabulary=100' linear
  says 2 'vocabulary = 100' 'text\.h5' '255' '256'
  layers 'embedding out=8' 'linear out=24' 'attention heads=3' linear
  says 2 'attention' 'heads'
  layers 'embedding out=8' 'linear out=24' 'attention heads=2 kv_heads=3' linear
  says 2 'attention' 'heads'
  layers 'embedding out=8' 'positions context=15' linear
  says 2 'positions' '15' '16'
  layers 'embedding out=8' 'linear tied="nobody"'
  says 2 'nobody'
  layers 'linear out=8' linear
  says 2 'token numbers' 'embedding'
  layers 'embedding out=8' flatten linear
  says 2 'linear1' '16 tokens'
}

case_generate() {
  text 2 "checkpoint.dir=$folder/run"
  succeeds
  run 0 generate "$folder/run" --tokens 20
  succeeds
  cp "$out" "$folder/once.txt"
  run 1 generate --checkpoint "$folder/run" --tokens 20
  succeeds
  cmp "$out" "$folder/once.txt" || fail "the same seed gives another text"
  refuses() { run 0 generate "$@"; says "${expected[@]}"; [ ! -s "$out" ] || fail "something was printed"; }
  expected=(2 'there is no .*nowhere'); refuses "$folder/nowhere"
  expected=(2 'checkpoint is required'); refuses
  mkdir -p "$folder/empty"
  expected=(2 'holds no checkpoint'); refuses "$folder/empty"
  expected=(2 '--top-p 2' 'up to 1'); refuses "$folder/run" --top-p 2
  expected=(2 '--top-p 0 '); refuses "$folder/run" --top-p 0
  expected=(2 '--top-p nan'); refuses "$folder/run" --top-p nan
  expected=(2 '--top-k -1'); refuses "$folder/run" --top-k -1
  expected=(2 '--temperature -0\.5'); refuses "$folder/run" --temperature -0.5
  expected=(2 '--temperature inf'); refuses "$folder/run" --temperature inf
  expected=(2 '--greedy' '--temperature'); refuses "$folder/run" --greedy --temperature 1
  expected=(2 '--tokens'); refuses "$folder/run" --tokens 0
  expected=(2 '--tokens'); refuses "$folder/run" --tokens many
  expected=(2 '--seed'); refuses "$folder/run" --seed -1
  expected=(2 '--prompt'); refuses "$folder/run" --prompt a --prompt-file b
  expected=(2 'none\.txt' 'No such file'); refuses "$folder/run" --prompt-file "$folder/none.txt"
  expected=(2 'prompt has 17 tokens' 'at most 16'); refuses "$folder/run" --prompt 12345678901234567
  expected=(2 'text\.h5|not a checkpoint'); run 0 generate "$work/text.h5"; [ "$status" = 2 ] || [ "$status" = 3 ] || fail "a dataset was taken for a checkpoint"
  # A prompt that is no UTF-8, and one that fills the context: a text all the same.
  run 0 generate "$folder/run" --prompt $'\xff\x80caf\xc3\xa9' --tokens 3
  succeeds
  run 0 generate "$folder/run" --prompt 1234567890123456 --tokens 9
  succeeds
  grep -q 'stopped after 1 of 9 tokens' "$err" || fail "not said that the context is full"
  run 2 generate "$folder/run"
  says 2 'one process' '2 were started' 'mpirun'
  run 2 eval "$folder/run" --data "$work/good.h5" --split val
  says 2 'good\.h5 is not text' 'trained on text'
  train 2 "checkpoint.dir=$folder/images" --stop-after=2
  succeeds
  expected=(2 'step-0000000002\.h5' 'not trained on text'); refuses "$folder/images"
  run 2 eval "$folder/images" --data "$work/text.h5" --split val --set data.sequence=16
  says 2 'text\.h5 is text' 'other data'
  local newest=$folder/run/step-0000000006.h5
  local weight
  weight=$(/usr/bin/python3 -c "import h5py, sys; print(h5py.File(sys.argv[1])['parameters/tokens.weight'].id.get_offset())" "$newest")
  printf '\xff\x01\x7f' | dd of="$newest" bs=1 seek=$((weight + 40)) conv=notrunc status=none
  expected=(3 'step-0000000006\.h5' 'damaged|changed'); refuses "$folder/run"
}
