#!/usr/bin/env bash
# One case of training on a cuda device: the losses of the cpu, one digest for any number of ranks and
# stops, checkpoints that move between devices, refusals, kernels that fail. Arguments: the program, scripts/mpirun.sh, the
# folder of tests/contract, a work folder, the case. LD_LIBRARY_PATH says what stands in for a GPU.
set -euo pipefail
program=$1 mpirun=$2 contract=$3 work=$4 case=$5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$work/small.h5 text=$work/text.h5 dir=$work/$case
mkdir -p "$work"
log=$work/$case.log out=$work/$case.out
: > "$log"

# Trains on N ranks with the given overrides, one without a launcher, as users do: work on its device
# then comes latest. What it says is in $out and, with the others', in $log.
train() {  # ranks, arguments
  local launch=("$mpirun" -np "$1")
  [ "$1" != 1 ] || launch=()
  shift
  "${launch[@]}" "$program" train "$@" > "$out" 2>&1 || { tail -n 20 "$out" >&2; return 1; }
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
differs() {  # one, other, what
  if [ "$1" = "$2" ]; then echo "FAILED: $3: both $1"; exit 1; fi
  echo "ok: $3"
}
says() { grep -qE "$1" "$out" || { echo "FAILED: not said: $1"; cat "$out"; exit 1; }; }
cuda=(--set run.device=cuda:0)
without_gpu() { env -u LD_LIBRARY_PATH CUDA_VISIBLE_DEVICES= "$@"; }
# All steps' losses of a run by their lines in metrics.jsonl are within a relative tolerance.
close() {  # one folder, other folder, tolerance
  /usr/bin/python3 "$here/close.py" "$1/metrics.jsonl" "$2/metrics.jsonl" "$3"
}

# The losses of the cpu within a tolerance; one digest on 1, 2 and 4 ranks and through stops, also with
# microbatches that accumulate.
table() {  # tolerance, arguments
  local tolerance=$1 reference
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
  # Where nobody reads losses the device's work falls further behind; threads differ from run to run.
  local late seed
  late=$(digest 1 "$@" "${cuda[@]}" --set log.window=7)
  for seed in 0 1 2 3; do
    same "$late" "$(LOCKSTEP_EMULATION_SEED=$seed digest 1 "$@" "${cuda[@]}" --set log.window=7 --set run.threads=2)" "2 threads"
  done
  set -- "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/stopped"
  digest 2 "$@" --stop-after 3 > /dev/null
  same "$reference" "$(digest 1 "$@" --resume)" "stopped after 3 steps on 2 ranks, resumed on 1"
}

# The same of a token model over 20 steps with dropout; those who resume compute blocks again.
tokens() {  # tolerance, arguments
  local tolerance=$1 reference
  shift
  rm -rf "$dir"
  set -- "$@" --set log.window=1 --set train.steps=20 --set data.sequence=8 --set data.val=
  train 1 "$@" --set "checkpoint.dir=$dir/cpu"
  reference=$(digest 1 "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/cuda")
  close "$dir/cpu" "$dir/cuda" "$tolerance"
  echo "reference: $reference"
  same "$reference" "$(digest 4 "$@" "${cuda[@]}")" "4 ranks on one device"
  set -- "$@" --set run.device=cuda --set "checkpoint.dir=$dir/stopped"
  digest 2 "$@" --stop-after 13 > /dev/null
  same "$reference" "$(digest 2 "$@" --resume --set train.recompute=block --set parallel.pretend_nodes=0,1)" \
    "stopped after 13 steps on 2 ranks, resumed on 2 nodes"
}

# Each stage's digest is the replicated one: on ranks that share a device or have their own, on two nodes with a round that has
# no lane for some, and with lanes side by side however late the device is.
sharded() {  # numbers of ranks on one device, seeds, arguments
  local rank_counts=$1 seeds=$2 reference stage seed ranks
  shift 2
  reference=$(digest 1 "$@" "${cuda[@]}")
  echo "reference: $reference"
  set -- "$@" --set parallel.strategy=sharded --set parallel.bucket_bytes=4096
  for stage in 1 2 3; do
    local way=("$@" --set "parallel.stage=$stage") together=run.threads=2
    [ "$stage" != 3 ] || together=parallel.lane_group=2
    for ranks in $rank_counts; do
      same "$reference" "$(digest "$ranks" "${way[@]}" "${cuda[@]}")" "stage $stage, $ranks ranks on one device"
    done
    same "$reference" "$(digest 3 "${way[@]}" --set run.device=cuda --set parallel.pretend_nodes=0,1,0)" "stage $stage, 3 ranks on 2 nodes"
    for seed in $seeds; do
      same "$reference" \
        "$(LOCKSTEP_EMULATION_SEED=$seed digest $((1 + seed % 2)) "${way[@]}" "${cuda[@]}" --set "$together")" \
        "stage $stage, 2 lanes at a time, seed $seed"
    done
  done
}

# Short runs of small models: the emulation does 300 million instructions a second.
mlp=("$contract/mlp.toml" --set "data.path=$data" --set "model.hidden=[19, 9]" --set train.batch=16 --set train.lanes=4
     --set train.steps=8)
cnn=("$contract/cnn.toml" --set "data.path=$data" --set train.batch=8 --set train.lanes=4 --set train.steps=4)
text_runs=(--set "data.path=$text" --set train.batch=4 --set train.lanes=4 --set train.steps=4)
gpt=("$contract/gpt.toml" "${text_runs[@]}")
llama=("$contract/llama.toml" "${text_runs[@]}")

case $case in
  data)
    /usr/bin/python3 "$contract/make_idx.py" "$work"
    "$program" import --format idx --overwrite --out "$data" --train "$work/images.idx" "$work/labels.idx" --val-fraction 0.02
    /usr/bin/python3 "$contract/make_text.py" "$work"
    head -c 3000 "$work/text.txt" > "$work/short.txt"
    "$program" import --format text --overwrite --out "$text" --train "$work/short.txt" ;;
  mlp) table 1e-4 "${mlp[@]}" --set optimizer.clip=0.5 ;;
  cnn) table 1e-3 "${cnn[@]}" ;;
  gpt) tokens 1e-5 "${gpt[@]}" ;;
  sharded_mlp) sharded "1 4" "1 2" "${mlp[@]}" --set optimizer.clip=0.5 ;;
  sharded_cnn) sharded "" 1 "${cnn[@]}" --set train.steps=3 ;;
  sharded_gpt) sharded "" "1 2" "${gpt[@]}" --set data.sequence=8 --set data.val= --set train.steps=3 ;;
  sharded_lamb)  # with norms over blocks of several ranks
    sharded "" 1 "${mlp[@]}" --set "model.hidden=[60]" --set optimizer.kind=lamb --set train.accumulate=2 --set train.steps=5 ;;
  sharded_moves)
    # A run changes stage, strategy and device at its stops; its numbers are those of a run that changes its device alone.
    rm -rf "$dir"
    go() {  # stage (0: replicated), ranks, device, arguments
      local way=(--set "run.device=$3" --set parallel.bucket_bytes=4096) ranks=$2
      [ "$1" = 0 ] || way+=(--set parallel.strategy=sharded --set "parallel.stage=$1")
      shift 3
      digest "$ranks" "$@" "${way[@]}"
    }
    reference=$(go 0 1 cuda:0 "${mlp[@]}")
    set -- "${mlp[@]}" --set "checkpoint.dir=$dir/stages"
    go 3 2 cuda:0 "$@" --stop-after 2 > /dev/null
    go 0 1 cuda:0 "$@" --resume --stop-after 4 > /dev/null
    go 1 3 cuda "$@" --resume --stop-after 6 --set parallel.pretend_nodes=0,1,1 > /dev/null
    same "$reference" "$(go 2 2 cuda:0 "$@" --resume)" "stages 3, none, 1, 2"
    for way in cpu:cuda cuda:cpu; do
      from=${way%:*} to=${way#*:}
      set -- "${mlp[@]}" --set
      go 0 1 "$from" "$@" "checkpoint.dir=$dir/$from" --stop-after 4 > /dev/null
      cp -r "$dir/$from" "$dir/$from-again"
      reference=$(go 0 1 "$to" "$@" "checkpoint.dir=$dir/$from" --resume)
      same "$reference" "$(go 3 2 "$to" "$@" "checkpoint.dir=$dir/$from-again" --resume)" "from $from to stage 3 on $to"
      go 2 2 "$from" "$@" "checkpoint.dir=$dir/$from-stage" --stop-after 4 > /dev/null
      same "$reference" "$(go 0 1 "$to" "$@" "checkpoint.dir=$dir/$from-stage" --resume)" "from stage 2 on $from to $to"
    done ;;
  leaves)
    # Leaves rounded to bf16: a run of its own, the same on any ranks and at every stage, near the cpu's.
    rm -rf "$dir"
    set -- "${mlp[@]}" --set log.window=1 --set parallel.bucket_bytes=4096
    reference=$(digest 1 "$@" "${cuda[@]}")
    set -- "$@" --set precision.leaf=bf16
    differs "$reference" "$(digest 1 "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/cuda")" "leaves are rounded"
    train 1 "$@" --set "checkpoint.dir=$dir/cpu"
    close "$dir/cpu" "$dir/cuda" 1e-3
    set -- "$@" --set run.device=cuda
    reference=$(digest 1 "$@")
    same "$reference" "$(digest 4 "$@")" "4 ranks"
    same "$reference" "$(digest 4 "$@" --set parallel.pretend_nodes=0,1,2,3)" "4 nodes, each with a lane"
    set -- "$@" --set train.lanes=5 --set train.batch=20 --set train.steps=5
    same "$(digest 1 "$@")" "$(digest 3 "$@" --set parallel.pretend_nodes=0,1,1)" "a lane alone beside a sum"
    sharded "" 1 "$@" ;;
  server)
    # Workers on devices, servers without: the digest of replicated. Two lanes without staleness are added in no other way than
    # in the one tree, whoever is first.
    set -- "${mlp[@]}" --set optimizer.clip=0.5 --set parallel.bucket_bytes=4096
    reference=$(digest 1 "$@" "${cuda[@]}")
    way=(--set parallel.strategy=server)
    same "$reference" "$(digest 2 "$@" "${way[@]}" "${cuda[@]}")" "1 worker"
    same "$reference" "$(digest 4 "$@" "${way[@]}" --set run.device=cuda)" "3 workers with a device each"
    for seed in 1 2; do
      same "$reference" "$(LOCKSTEP_EMULATION_SEED=$seed digest 4 "$@" "${way[@]}" "${cuda[@]}" --set parallel.servers=2 \
        --set run.threads=2 --set parallel.pretend_nodes=0,1,0,1)" "2 workers and 2 servers on 2 nodes, seed $seed"
    done
    set -- "${cnn[@]}" --set train.steps=3 --set train.lanes=2 --set train.accumulate=3 --set train.batch=12
    reference=$(digest 1 "$@" "${cuda[@]}" --set precision.leaf=bf16)
    for mode in sync bounded; do
      for ranks in 2 3; do
        same "$reference" "$(digest $ranks "$@" "${way[@]}" "${cuda[@]}" --set precision.leaf=bf16 --set "parallel.mode=$mode" \
          --set parallel.staleness=0)" "$mode, $((ranks - 1)) workers, accumulated and rounded"
      done
    done
    rm -rf "$dir"
    set -- "${mlp[@]}" "${way[@]}" "${cuda[@]}" --set parallel.mode=async --set run.threads=2 --set "checkpoint.dir=$dir/async"
    train 3 "$@" --stop-after 4
    train 4 "$@" --set parallel.servers=2 --resume
    says '^ *staleness: '
    echo "ok: async, resumed with 2 servers" ;;
  local)
    # Replicas on any rank, met on the host; a stop waits for the next meeting.
    rm -rf "$dir"
    set -- "${mlp[@]}" --set parallel.strategy=local --set parallel.every=3 --set parallel.outer=nesterov --set log.window=1
    train 1 "$@" --set "checkpoint.dir=$dir/cpu"
    reference=$(digest 1 "$@" "${cuda[@]}" --set "checkpoint.dir=$dir/cuda")
    close "$dir/cpu" "$dir/cuda" 1e-4
    same "$reference" "$(digest 2 "$@" "${cuda[@]}")" "2 ranks on one device"
    same "$reference" "$(digest 4 "$@" --set run.device=cuda)" "4 ranks"
    same "$reference" "$(digest 3 "$@" --set run.device=cuda --set parallel.pretend_nodes=0,1,0)" "3 ranks on 2 nodes"
    set -- "$@" --set "checkpoint.dir=$dir/stopped"
    digest 2 "$@" "${cuda[@]}" --stop-after 4 > /dev/null
    same "$reference" "$(digest 4 "$@" "${cuda[@]}" --resume)" "stopped on 2 ranks, resumed on 4"
    # With running statistics, the mean of the replicas, rounded changes, and lanes side by side in a replica.
    set -- "${cnn[@]}" --set parallel.strategy=local --set parallel.replicas=2 --set parallel.every=2 --set precision.leaf=bf16
    reference=$(digest 1 "$@" "${cuda[@]}")
    for seed in 1 2; do
      same "$reference" "$(LOCKSTEP_EMULATION_SEED=$seed digest 2 "$@" "${cuda[@]}" --set run.threads=2)" "2 threads, seed $seed"
    done ;;
  bf16) tokens 2e-3 "${gpt[@]}" --set train.precision=bf16 ;;
  llama) tokens 1e-5 "${llama[@]}" ;;
  llama_bf16) tokens 2e-3 "${llama[@]}" --set train.precision=bf16 ;;
  recompute)
    activations() { sed -n 's/^ *activations *//p' "$out"; }
    for precision in fp32 bf16; do
      set -- "${gpt[@]}" "${cuda[@]}" --set "train.precision=$precision"
      reference=$(digest 1 "$@")
      kept=$(activations)
      same "$reference" "$(digest 1 "$@" --set train.recompute=block)" "$precision, blocks computed again"
      differs "$kept" "$(activations)" "less is kept"
      same "$reference" "$(digest 2 "$@" --set train.recompute=block)" "$precision, blocks computed again on 2 ranks"
    done ;;
  recall)
    # A library may offer its algorithms in another order tomorrow; a run goes on with its own.
    recalls() {  # library, arguments
      local library=$1 reference
      shift
      rm -rf "$dir"
      set -- "$@" "${cuda[@]}"
      reference=$(digest 1 "$@")
      differs "$reference" "$(LOCKSTEP_EMULATION_WORST_FIRST=$library digest 1 "$@")" "$library's others give another digest"
      set -- "$@" --set "checkpoint.dir=$dir"
      digest 1 "$@" --stop-after 2 > /dev/null
      LOCKSTEP_EMULATION_WORST_FIRST=$library digest 2 "$@" --resume --stop-after 3 > /dev/null
      same "$reference" "$(LOCKSTEP_EMULATION_WORST_FIRST=$library digest 1 "$@" --resume)" \
        "resumed with $library's algorithms of the checkpoint"
    }
    recalls cublaslt "${gpt[@]}"
    recalls cudnn "${cnn[@]}" ;;
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
    for model in gpt llama; do
      declare -n run=$model
      train 1 "${run[@]}" "${cuda[@]}" --set train.steps=15 --set optimizer.lr=1e-2 --set "checkpoint.dir=$dir/$model"
      for choice in --greedy --seed=3; do
        set -- "$dir/$model" --prompt "The" --tokens 13 "$choice"
        "$program" generate "$@" > "$out.cuda"
        without_gpu "$program" generate "$@" --set run.device=cpu > "$out.cpu"
        cmp "$out.cpu" "$out.cuda"
        echo "ok: $model $choice: $(cat "$out.cuda")"
      done
    done
    # A prompt that another program reads, in one piece, before this one goes on.
    prompt=$(head -c 70 "$work/short.txt" | tr '\n' ' ')
    train 1 "${gpt[@]}" "${cuda[@]}" --set data.sequence=80 --set optimizer.lr=1e-2 --set "checkpoint.dir=$dir/long"
    set -- "$dir/long" --prompt "$prompt" --tokens 5 --greedy
    same "$(without_gpu "$program" generate "$@" --set run.device=cpu)" "$("$program" generate "$@")" "a long prompt" ;;
  tools)
    # What else reads a checkpoint of a GPU; only what computes there needs one.
    rm -rf "$dir"
    "$program" train "${gpt[@]}" "${cuda[@]}" --set "checkpoint.dir=$dir/run" --check > "$out" 2>&1
    says '^ *device +cuda: .*; rank 0 on cuda 0'
    says '^ *total on the GPU '
    [ ! -e "$dir/run" ] && echo "ok: --check leaves nothing behind"
    train 1 "${gpt[@]}" "${cuda[@]}" --set train.steps=2 --set "checkpoint.dir=$dir/run"
    "$program" eval "$dir/run" --split val > "$dir/cuda.txt"
    without_gpu "$program" eval "$dir/run" --split val --set run.device=cpu > "$dir/cpu.txt"
    same "$(cat "$dir/cpu.txt")" "$(cat "$dir/cuda.txt")" "eval on the cpu and on the GPU"
    "$program" export "$dir/run" --out "$dir/with"
    without_gpu "$program" export "$dir/run" --out "$dir/without"
    cmp "$dir/with/model.safetensors" "$dir/without/model.safetensors"
    without_gpu "$program" verify "$dir/run" "$dir/run" ;;
  absent)
    set +e
    for command in "train ${gpt[*]} --set run.device=cuda" "train ${gpt[*]} --set run.device=cuda:0 --check"; do
      # shellcheck disable=SC2086  # words
      without_gpu "$program" $command > "$out" 2>&1
      same 2 $? "no GPU"
      same 1 "$(wc -l < "$out")" "one sentence"
      says 'run.device = "cuda", but this machine shows no CUDA device \(.*\); look at nvidia-smi'
    done
    without_gpu "$mpirun" -np 2 "$program" train "${gpt[@]}" --set run.device=cuda > "$out" 2>&1
    same 2 $? "no GPU for 2 ranks"
    same 1 "$(grep -c '^lockstep: ' "$out")" "one sentence" ;;
  failing)
    # On rank 1 of 2; the other waits for it and is ended by it.
    set -- train "${gpt[@]}" "${cuda[@]}"
    fails() {  # environment of rank 1, what is said
      local began=$SECONDS status=0
      # shellcheck disable=SC2086  # words
      "$mpirun" -np 1 "$program" "${arguments[@]}" : -np 1 env $1 "$program" "${arguments[@]}" > "$out" 2>&1 || status=$?
      same 70 $status "$1"
      says "^lockstep: rank 1: $2"
      same 1 "$(grep '^lockstep: ' "$out" | grep -vc 'warning')" "one sentence"
      [ $((SECONDS - began)) -lt 20 ] || { echo "FAILED: it took $((SECONDS - began)) s"; exit 1; }
    }
    arguments=("$@")
    where='on rank 1 on .*, cuda 0 \(Emulated GPU\) failed'
    fails LOCKSTEP_EMULATION_REFUSE=dots_kernel:3 "attention_dots $where: too many resources .*LaunchOutOfResources"
    fails LOCKSTEP_EMULATION_REFUSE=fold_kernel:3 "fold $where: too many resources"
    for kernel in attention_kernel:9 fold_kernel:2; do
      fails LOCKSTEP_EMULATION_FAIL=$kernel "a kernel $where: unspecified launch failure .*CUDA_LAUNCH_BLOCKING=1"
    done
    fails "CUDA_LAUNCH_BLOCKING=1 LOCKSTEP_EMULATION_FAIL=attention_kernel:9" "attention_forward $where: unspecified"
    same "$(digest 1 "${gpt[@]}" "${cuda[@]}")" "$(CUDA_LAUNCH_BLOCKING=1 digest 1 "${gpt[@]}" "${cuda[@]}")" \
      "nothing captured" ;;
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
    LOCKSTEP_EMULATION_DEVICES=2 "$mpirun" -np 3 "$program" train "${mlp[@]}" --set run.device=cuda \
      --set parallel.strategy=server > "$out" 2>&1
    same 0 $? "2 workers and a server on 2 devices"
    says '^ *device +cuda: 2 x .*; rank 0 on cuda 0, 1 on 1; servers have none'
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
