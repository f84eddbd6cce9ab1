#!/usr/bin/env bash
# Weights to PyTorch and back: files with the names of the Hugging Face layouts give the same logits on both
# sides. Arguments: the program, the program that prints logits, a work folder.
set -euo pipefail
program=$1 logits=$2 work=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
oracle=(/usr/bin/python3 "$here/oracle.py")
rm -rf "$work"
mkdir -p "$work"
cd "$work"
log=weights.log
tokens=(84 104 101 32 108 97 110 101 10 255 0 7 7 65 33 90 84 104 101 32)

/usr/bin/python3 "$here/../contract/make_text.py" .
"$program" import --format text --tokenizer bytes --out text.h5 --train text.txt >> $log 2>&1
sizes=(--set data.path=text.h5 --set data.sequence=24 --set model.blocks=2 --set model.embedding=32
       --set model.heads=4 --set train.batch=8 --set train.lanes=2 --set train.steps=1)

fail() { echo "FAILED: $*"; tail -n 5 $log; exit 1; }
train() {  # kind, arguments
  local kind=$1 preset=(--set model.preset=gpt)
  shift
  [ "$kind" = gpt2 ] || preset=(--set model.preset=llama --set model.kv_heads=2 --set model.feed_forward=96)
  [ "$kind" = llama-untied ] && preset+=(--set model.tied=false)
  "$program" train empty.toml "${sizes[@]}" "${preset[@]}" "$@" >> $log 2>&1
}
refused() {  # exit code, words of the sentence, arguments of train
  local code=0 expected=$1 words=$2
  shift 2
  train "$@" --set checkpoint.dir=refused || code=$?
  [ $code -eq "$expected" ] || fail "exit code $code, expected $expected: $*"
  tail -n 1 $log | grep -q "$words" || fail "no '$words' in the message"
  echo "ok: refused: $(tail -n 1 $log)"
}
agree() {  # kind, file, checkpoint folder, what
  local checkpoint
  checkpoint=$(ls "$3"/step-*.h5)
  "$logits" "$checkpoint" "${tokens[@]}" > ours.txt || fail "no logits of $checkpoint"
  "${oracle[@]}" logits "$1" "$2" ours.txt "${tokens[@]}" || fail "$4"
  echo "ok: $4"
}
: > empty.toml

for kind in gpt2 llama llama-untied; do
  "${oracle[@]}" make $kind $kind.safetensors
  # A step with a learning rate of zero leaves the weights as they were read.
  train $kind --init-from $kind.safetensors --set optimizer.lr=0 --set checkpoint.dir=$kind || fail "train $kind"
  agree $kind $kind.safetensors $kind "$kind: PyTorch's weights give PyTorch's logits"
  "$program" export $kind --out $kind-out >> $log 2>&1 || fail "export $kind"
  "${oracle[@]}" same $kind.safetensors $kind-out/model.safetensors || fail "$kind: written as it was read"
  echo "ok: $kind: written as it was read, bit for bit"
  train $kind --set train.steps=5 --set optimizer.lr=0.01 --set checkpoint.dir=$kind-trained || fail "train $kind"
  "$program" export $kind-trained --out $kind-trained-out >> $log 2>&1
  agree $kind $kind-trained-out/model.safetensors $kind-trained "$kind: our weights give our logits in PyTorch"
  "${oracle[@]}" break bare $kind.safetensors bare.safetensors
  if [ $kind = gpt2 ]; then
    train $kind --init-from bare.safetensors --set optimizer.lr=0 --set checkpoint.dir=bare || fail "names without prefix"
    agree $kind $kind.safetensors bare "names without the prefix, masks along"
  fi
done

refused 2 "lacks tensors" gpt2 --init-from llama.safetensors
refused 2 "cannot open" gpt2 --init-from nowhere.safetensors
for how in missing:2:lacks shape:2:"another shape" extra:2:"this model lacks" nan:3:"is nan" truncated:3:truncated; do
  IFS=: read -r name code words <<< "$how"
  "${oracle[@]}" break "$name" gpt2.safetensors "$name.safetensors"
  refused "$code" "$words" gpt2 --init-from "$name.safetensors"
done
if "$program" export gpt2 --out gpt2-out >> $log 2>&1; then fail "an export replaced another"; fi
"$program" export gpt2 --out gpt2-out --overwrite >> $log 2>&1 || fail "--overwrite"
echo "ok: an export replaces another when told to"
