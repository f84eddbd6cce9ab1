#!/usr/bin/env bash
# One case of training on a cuda device: the losses of the cpu, one digest for any number of ranks and
# stops, checkpoints that move between devices, refusals. Arguments: the program, scripts/mpirun.sh, the
# folder of tests/contract, a work folder, the case. LD_LIBRARY_PATH says what stands in for a GPU.
set -euo pipefail
program=$1 mpirun=$2 contract=$3 work=$4 case=$5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$work/small.h5 text=$work/text.h5 dir=$work/$case
mkdir -p "$work"
log=$work/$case.log out=$work/$case.out
: > "$log"

# Trains on N ranks with the given overrides; what it says is in $out and, with the others', in $log.
train() {  # ranks, arguments
  local ranks=$1
  shift
  "$mpirun" -np "$ranks" "$program" train "$@" > "$out" 2>&1 || { tail -n 20 "$out" >&2; return 1; }
  cat "$out" >> "$log"
}
digest() {  # ranks, arguments
  train "$@"
  local found
  found=$(grep -oE '^digest [0-9a-f]{32}' "$out" | tail -n 1)
  [ -n "$found" ] || { echo "no digest in $out" >&2; return 1; }
  echo "${found#digest }"
}
same() {  # expected, got, what
  if [ "$1" != "$2" ]; then echo "FAILED: $3: $2, expected $1"; exit 1; fi
  echo "ok: $3: $2"
}
says() { grep -qE "$1" "$out" || { echo "FAILED: not said: $1"; cat "$out"; exit 1; }; }
cuda=(--set run.device=cuda:0)
# All steps' losses of a run by their lines in metrics.jsonl are within a relative tolerance.
close() {  # one folder, other folder, tolerance
  /usr/bin/python3 "$here/close.py" "$1/metrics.jsonl" "$2/metrics.jsonl" "$3"
}

# The losses of the cpu within a tolerance; one digest on 1, 2 and 4 ranks and through stops, also with
# microbatches that accumulate.
table() {  # tolerance, arguments
  local tolerance=$1 reference more
  shift
  rm -rf "$dir"
  set -- "$@" --set log.window=1
  train 1 "$@" --set "checkpoint.dir=$dir/cpu"
  reference=$(digest 1 "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/cuda")
  close "$dir/cpu" "$dir/cuda" "$tolerance"
  echo "reference: $reference"
  same "$reference" "$(digest 2 "$@" "${cuda[@]}")" "2 ranks on one device"
  same "$reference" "$(digest 4 "$@" --set run.device=cuda)" "4 ranks"
  same "$reference" "$(digest 2 "$@" --set run.device=cuda --set parallel.pretend_nodes=0,1)" "2 nodes"
  same "$reference" "$(digest 1 "$@" "${cuda[@]}" --set run.threads=2)" "2 threads"
  set -- "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/stopped"
  digest 2 "$@" --stop-after 3 > /dev/null
  same "$reference" "$(digest 1 "$@" --resume)" "stopped after 3 steps on 2 ranks, resumed on 1"
}

# Short runs of small models: the emulation does 300 million instructions a second.
mlp=("$contract/mlp.toml" --set "data.path=$data" --set "model.hidden=[19, 9]" --set train.batch=16 --set train.lanes=4
     --set train.steps=8)
cnn=("$contract/cnn.toml" --set "data.path=$data" --set train.batch=8 --set train.lanes=4 --set train.steps=4)
gpt=("$contract/gpt.toml" --set "data.path=$text" --set train.batch=4 --set train.lanes=4 --set train.steps=4)

case $case in
  data)
    /usr/bin/python3 "$contract/make_idx.py" "$work"
    "$program" import --format idx --overwrite --out "$data" --train "$work/images.idx" "$work/labels.idx" --val-fraction 0.02
    /usr/bin/python3 "$contract/make_text.py" "$work"
    head -c 3000 "$work/text.txt" > "$work/short.txt"
    "$program" import --format text --overwrite --out "$text" --train "$work/short.txt" ;;
  mlp) table 1e-4 "${mlp[@]}" --set optimizer.clip=0.5 ;;
  cnn) table 1e-3 "${cnn[@]}" ;;
  gpt) table 1e-3 "${gpt[@]}" ;;
  bf16) table 2e-2 "${gpt[@]}" --set train.precision=bf16 ;;
  recompute)
    set -- "${gpt[@]}" "${cuda[@]}"
    same "$(digest 1 "$@")" "$(digest 2 "$@" --set train.recompute=block)" "blocks computed again" ;;
  accumulate)
    set -- "${mlp[@]}" --set train.accumulate=3 --set train.batch=24 --set log.window=1
    rm -rf "$dir"
    train 1 "$@" --set "checkpoint.dir=$dir/cpu"
    reference=$(digest 1 "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/cuda")
    close "$dir/cpu" "$dir/cuda" 1e-4
    same "$reference" "$(digest 2 "$@" "${cuda[@]}")" "2 ranks" ;;
  optimizers)
    for kind in sgd adam lamb; do
      set -- "${mlp[@]}" --set "optimizer.kind=$kind" --set log.window=1
      [ "$kind" != sgd ] || set -- "$@" --set optimizer.momentum=0.9
      rm -rf "$dir"
      train 1 "$@" --set "checkpoint.dir=$dir/cpu"
      train 1 "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/cuda"
      close "$dir/cpu" "$dir/cuda" 1e-4
    done ;;
  moves)
    # A checkpoint goes from device to device; evaluation has the values of the run that wrote it.
    rm -rf "$dir"
    set -- "${mlp[@]}" --set log.window=1
    train 1 "$@" --set "checkpoint.dir=$dir/straight"
    set -- "$@" --set "checkpoint.dir=$dir/moved"
    train 1 "$@" --stop-after 3
    train 2 "$@" "${cuda[@]}" --resume --stop-after 6
    train 1 "$@" --resume
    close "$dir/straight" "$dir/moved" 1e-4
    "$program" eval "$dir/straight" --split val > "$dir/a"
    "$program" eval "$dir/straight" --split val "${cuda[@]}" > "$dir/b"
    sed -E 's/.*: //' "$dir/a" "$dir/b"
    [ "$(grep -oE 'loss [0-9]+\.[0-9]{2}' "$dir/a")" = "$(grep -oE 'loss [0-9]+\.[0-9]{2}' "$dir/b")" ] ;;
  generate)
    rm -rf "$dir"
    train 1 "${gpt[@]}" --set train.steps=2 --set "checkpoint.dir=$dir"
    "$program" generate "$dir" --prompt "The lane" --tokens 6 --greedy > "$out.cpu"
    "$program" generate "$dir" --prompt "The lane" --tokens 6 --greedy "${cuda[@]}" > "$out.cuda"
    cmp "$out.cpu" "$out.cuda" && echo "ok: the same greedy text" ;;
  says)
    train 2 "${mlp[@]}" "${cuda[@]}"
    says '^ *device +cuda: 2 x .*; rank 0 on cuda 0, 1 on 0'
    says 'warning: ranks 0 and 1 share one device'
    says '^ *total on the GPU '
    ! grep -q 'FMA peak' "$out"
    set +e
    LOCKSTEP_EMULATION_DEVICES=2 "$mpirun" -np 3 "$program" train "${mlp[@]}" --set run.device=cuda > "$out" 2>&1
    same 2 $? "3 ranks on 2 devices"
    says '3 ranks on a node with 2 CUDA devices'
    "$program" train "${mlp[@]}" --set run.device=cuda:7 > "$out" 2>&1
    same 2 $? "a device that is not there"
    LOCKSTEP_EMULATION_MEMORY=16K "$program" train "${mlp[@]}" "${cuda[@]}" > "$out" 2>&1
    same 2 $? "too little memory"
    says 'not enough memory on rank 0 on .*, cuda 0'
    LOCKSTEP_EMULATION_CAPABILITY=7.5 "$program" train "${mlp[@]}" "${cuda[@]}" --set train.precision=bf16 --check > "$out" 2>&1
    same 0 $? "bf16 on sm_75"
    says 'train.precision = "bf16" computes in fp32 here: cuda 0: .* has no bf16 arithmetic' ;;
  *) echo "no case '$case'" >&2; exit 2 ;;
esac
