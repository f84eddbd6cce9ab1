#!/usr/bin/env bash
# One case of the contract on bits: the same digest after 50 steps whatever the number of ranks, threads,
# nodes, stops and resumes. Arguments: the program, scripts/mpirun.sh, a work folder, the case.
set -euo pipefail
program=$1 mpirun=$2 work=$3 case=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$work/small.h5 text=$work/text.h5
mkdir -p "$work"
log=$work/$case.log
: > "$log"

# Trains on N ranks with the given overrides; prints the digest.
digest() {  # ranks, arguments
  local ranks=$1 found
  shift
  "$mpirun" -np "$ranks" "$program" train "$@" >> "$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
  found=$(grep -oE '^digest [0-9a-f]{32}' "$log" | tail -n 1)
  [ -n "$found" ] || { echo "no digest in $log" >&2; return 1; }
  echo "${found#digest }"
}
same() {  # expected, got, what
  if [ "$1" != "$2" ]; then echo "FAILED: $3: $2, expected $1"; exit 1; fi
  echo "ok: $3: $2"
}
differs() {  # one, other, what
  if [ "$1" = "$2" ]; then echo "FAILED: $3: the digest did not change"; exit 1; fi
  echo "ok: $3"
}
# The metrics of the runs in folders straight and stopped are the same lines, but for times.
same_metrics() {  # folder
  local run
  for run in straight stopped; do sed -E 's/,?"time":\{[^}]*\}//' "$1/$run/metrics.jsonl" > "$1/$run.lines"; done
  cmp "$1/straight.lines" "$1/stopped.lines" && echo "ok: the same metrics"
}
mlp=("$here/mlp.toml" --set "data.path=$data")
cnn=("$here/cnn.toml" --set "data.path=$data")

# Every way of running that the contract names.
table() {  # lanes, arguments
  local lanes=$1 reference ranks
  shift
  set -- "$@" --set "train.lanes=$lanes" --set train.batch=48
  reference=$(digest 1 "$@")
  echo "reference: $reference"
  for ranks in 2 3 4 5 8; do same "$reference" "$(digest $ranks "$@")" "$ranks ranks"; done
  same "$reference" "$(digest 1 "$@" --set run.threads=2)" "1 rank, 2 threads"
  same "$reference" "$(digest 2 "$@" --set run.threads=2)" "2 ranks, 2 threads"
  same "$reference" "$(digest 3 "$@" --set parallel.pretend_nodes=0,1,1)" "nodes of 1+2 ranks"
  same "$reference" "$(digest 4 "$@" --set parallel.pretend_nodes=0,0,0,1)" "nodes of 3+1 ranks"
  same "$reference" "$(digest 6 "$@" --set parallel.pretend_nodes=0,0,1,1,1,2)" "nodes of 2+3+1 ranks"
  same "$reference" "$(digest 4 "$@" --set parallel.pretend_nodes=0,1,0,1)" "two nodes, round-robin"
  same "$reference" "$(digest 3 "$@" --set parallel.bucket_bytes=4096)" "small buckets"
}

# A token model at one precision, activations kept or computed again, and through stops.
tokens() {  # run file
  local run=$1 precision references=() ranks dir=$work/$case
  rm -rf "$dir"
  for precision in fp32 bf16; do
    set -- "$here/$run" --set "data.path=$text" --set "train.precision=$precision"
    references+=("$(digest 1 "$@")")
    echo "reference: $precision: ${references[-1]}"
    same "${references[-1]}" "$(digest 1 "$@" --set train.recompute=block)" "$precision, blocks computed again"
    for ranks in 2 4; do same "${references[-1]}" "$(digest $ranks "$@")" "$precision, $ranks ranks"; done
    for ranks in 3 8; do
      same "${references[-1]}" "$(digest $ranks "$@" --set train.recompute=block)" "$precision, $ranks ranks, blocks computed again"
    done
    same "${references[-1]}" "$(digest 2 "$@" --set run.threads=2 --set parallel.pretend_nodes=0,1)" "$precision, 2 nodes, 2 threads each"
    set -- "$@" --set "checkpoint.dir=$dir/$precision"
    digest 3 "$@" --set train.recompute=block --stop-after 7 > /dev/null
    same "${references[-1]}" "$(digest 4 "$@" --resume)" "$precision, stopped after 7 steps on 3 ranks, resumed on 4"
  done
  # Where the machine has bf16 arithmetic it must make a difference.
  if grep -qE '^ *precision +bf16' "$log"; then differs "${references[0]}" "${references[1]}" "fp32 and bf16 are two runs"; fi
}

for part in strategies assignments data_orders; do
  # shellcheck source=/dev/null
  source "$here/$part.sh"
done

# What a node of 2 ranks needs, as the ledger at the start says.
node_mebibytes() {
  "$mpirun" -np 2 "$program" train "$@" --check | sed -nE 's/^ *total per node +([0-9]+)\.[0-9]+ MiB.*/\1/p'
}
refused() {  # arguments
  if "$mpirun" -np 2 "$program" train "$@" > "$work/$case/refused.txt" 2>&1; then echo "FAILED: not refused: $*"; exit 1; fi
}

case $case in
  data)
    # 1,003 samples (a prime's neighbour: nothing divides) of 12x12 in CSV would be slow; IDX it is.
    /usr/bin/python3 "$here/make_idx.py" "$work"
    "$program" import --format idx --overwrite --out "$data" --train "$work/images.idx" "$work/labels.idx" \
      --val-fraction 0.1
    /usr/bin/python3 "$here/make_text.py" "$work"
    "$program" import --format text --overwrite --out "$text" --train "$work/text.txt" ;;
  mlp-8) table 8 "${mlp[@]}" ;;
  mlp-12) table 12 "${mlp[@]}" --set optimizer.clip=0.5 ;;
  cnn-8) table 8 "${cnn[@]}" --set optimizer.clip=0.5 ;;
  gpt-8) tokens gpt.toml ;;
  llama-8) tokens llama.toml ;;
  sharded-mlp) sharded 8 "${mlp[@]}" --set optimizer.clip=0.5 ;;
  sharded-cnn) sharded 12 "${cnn[@]}" --set train.steps=20 --set train.accumulate=2 ;;
  sharded-gpt) sharded 8 "$here/gpt.toml" --set "data.path=$text" ;;
  server-sync)
    served 8 "${mlp[@]}" --set optimizer.clip=0.5 --set train.steps=20
    served 12 "${cnn[@]}" --set optimizer.kind=lamb --set train.steps=12 --set train.accumulate=2 ;;
  server-queue)
    # The other modes have no bits to compare: they must learn, stop, resume and say what they measured.
    for mode in bounded async; do
      dir=$work/$case-$mode
      rm -rf "$dir"
      set -- "${cnn[@]}" --set parallel.strategy=server --set "parallel.mode=$mode" --set parallel.staleness=1 \
        --set "checkpoint.dir=$dir" --set checkpoint.every=7steps --set checkpoint.keep=9
      digest 4 "$@" --stop-after 11 > /dev/null
      digest 5 "$@" --set parallel.servers=2 --resume > /dev/null
      [ -e "$dir/step-0000000007.h5" ] && [ -e "$dir/step-0000000011.h5" ] && [ -e "$dir/step-0000000014.h5" ]
      grep -q 'staleness: .* of .* results' "$log"
      same 50 "$(grep -oE 'digest [0-9a-f]+ after step [0-9]+' "$log" | tail -n 1 | grep -oE '[0-9]+$')" "$mode: steps"
    done
    grep -q 'outside the contract' "$log" && echo "ok: says what it is" ;;
  sharded-optimizers)
    for kind in sgd adam lamb; do
      set -- "${cnn[@]}" --set "optimizer.kind=$kind" --set optimizer.clip=1.0 --set train.steps=10
      reference=$(digest 1 "$@")
      for stage in 1 2 3; do
        same "$reference" "$(digest 3 "$@" --set parallel.strategy=sharded --set "parallel.stage=$stage")" "$kind, stage $stage on 3 ranks"
      done
    done ;;
  local) meeting "${cnn[@]}" --set train.lanes=12 --set parallel.replicas=6 --set parallel.every=7 --set parallel.outer=nesterov ;;
  local-average)
    set -- "${mlp[@]}" --set parallel.every=4 --set optimizer.clip=0.5 --set train.accumulate=2 --set train.batch=96
    meeting "$@" --set train.lanes=12 --set parallel.replicas=6
    set -- "$@" --set parallel.strategy=local --set train.lanes=6
    same "$(digest 1 "$@")" "$(digest 6 "$@")" "a lane each"
    differs "$(digest 2 "$@")" "$(digest 2 "$@" --set parallel.outer=nesterov)" "another outer step"
    differs "$(digest 2 "$@")" "$(digest 2 "$@" --set parallel.every=5)" "other meetings"
    differs "$(digest 2 "$@")" "$(digest 2 "$@" --set precision.leaf=bf16)" "changes in bf16"
    same "$(digest 1 "$@" --set precision.leaf=bf16)" "$(digest 4 "$@" --set precision.leaf=bf16 --set parallel.pretend_nodes=0,0,1,1)" "changes in bf16, 2 nodes" ;;
  memory)
    # A node's limit between what stage 3 needs and what replicas need: the first trains, the others are
    # refused by their ledger, and told so.
    set -- "${mlp[@]}" --set 'model.hidden=[2500, 2500, 2500]' --set train.steps=3
    stage3=(--set parallel.strategy=sharded --set parallel.stage=3)
    total() { "$mpirun" -np 2 "$program" train "$@" --check | sed -nE 's/^ *total per node +([0-9]+)\.[0-9]+ MiB.*/\1/p'; }
    most=$(total "$@") least=$(total "$@" "${stage3[@]}")
    [ "$least" -lt $((most * 9 / 10)) ] || { echo "FAILED: stage 3 needs $least MiB of $most"; exit 1; }
    limit=$(((most + least) / 2))
    reference=$(digest 2 "$@")
    set -- "$@" --set "run.memory=$((limit << 20))"
    same "$reference" "$(digest 2 "$@" "${stage3[@]}")" "stage 3 within $limit MiB, where replicas need $most"
    if "$mpirun" -np 2 "$program" train "$@" > "$work/memory.txt" 2>&1; then echo "FAILED: not refused"; exit 1; fi
    grep 'this run needs' "$work/memory.txt"
    grep -qE 'may be used \(run.memory\).*use parallel.strategy = "sharded" with parallel.stage = (2 or )?3$' "$work/memory.txt"
    [ "$(grep -c 'this run needs' "$work/memory.txt")" = 1 ] && echo "ok: said once" ;;
  cnn-12) table 12 "${cnn[@]}" --set train.accumulate=2 --set optimizer.clip=0.5 ;;
  sliced)
    # Wide enough that convolutions and norms take turns slice by slice through the cache.
    set -- "${cnn[@]}" --set train.batch=256 --set train.lanes=4 --set train.steps=6
    reference=$(digest 1 "$@")
    same "$reference" "$(digest 3 "$@")" "3 ranks"
    same "$reference" "$(digest 2 "$@" --set run.threads=2)" "2 ranks, 2 threads" ;;
  random)
    # Ways of running drawn by seed: SEED (default 1) and ROUNDS (default 3; the long form runs 60).
    # (A subshell would draw from a seed of its own, so pick assigns.)
    RANDOM=${SEED:-1}
    pick() { local -n to=$1; shift; local options=("$@"); to=${options[$((RANDOM % $#))]}; }
    for ((round = 0; round < ${ROUNDS:-3}; ++round)); do
      pick lanes 2 3 5 6 8 12 16
      pick ranks 2 3 4 5 6 7 8
      [ "$ranks" -le "$lanes" ] || ranks=$lanes
      pick accumulate 1 1 2 3
      pick microbatch 2 3 7
      pick file mlp cnn gpt llama
      case $file in gpt | llama) input=$text ;; *) input=$data ;; esac
      pick precision fp32 fp32 bf16
      pick recompute none block
      pick kind adamw sgd lamb
      pick clip 0 0.3
      pick stage 0 1 2 3
      pick leaf fp32 bf16
      pick window 0 11 64
      pick shuffle window window none full
      pick threads 1 2 3
      pick bucket 0 4096 65536 4194304
      pick progress off on
      nodes=
      for ((r = 0; r < ranks; ++r)); do pick node 0 1 2; nodes+=${nodes:+,}$node; done
      pick nodes "" "$nodes"
      way=()
      if [ "$stage" != 0 ]; then way=(--set parallel.strategy=sharded --set "parallel.stage=$stage"); fi
      if [ "$stage" = 3 ]; then way+=(--set "parallel.lane_group=$threads") threads=1; fi
      set -- "$here/$file.toml" --set "data.path=$input" --set "train.precision=$precision" --set train.steps=9 --set "train.lanes=$lanes" --set "train.accumulate=$accumulate" \
        --set "train.batch=$((lanes * accumulate * microbatch))" --set "optimizer.kind=$kind" --set "optimizer.clip=$clip" \
        --set "data.window=$window" --set "data.shuffle=$shuffle" --set "precision.leaf=$leaf"
      same "$(digest 1 "$@")" \
        "$(digest "$ranks" "$@" --set "run.threads=$threads" --set "parallel.pretend_nodes=$nodes" --set "parallel.bucket_bytes=$bucket" --set "run.progress=$progress" --set "train.recompute=$recompute" "${way[@]}")" \
        "round $round: $file, stage $stage, $leaf leaves, $precision, recompute $recompute, $lanes lanes x $accumulate x $microbatch, $kind, clip $clip, $shuffle order, window $window; $ranks ranks x $threads threads, nodes '$nodes', buckets of $bucket, progress $progress"
    done ;;
  assignment-mlp) moving 8 "${mlp[@]}" --set optimizer.clip=0.5 ;;
  order) orders 12 "${mlp[@]}" --set train.accumulate=2 ;;
  cache) cached "${mlp[@]}" ;;
  assignment-cnn) moving 12 "${cnn[@]}" --set train.accumulate=2 ;;
  assignment-nodes) between 16 "${mlp[@]}" --set optimizer.clip=0.5 --set train.steps=40 ;;
  optimizers)
    for kind in sgd adam lamb; do
      set -- "${cnn[@]}" --set "optimizer.kind=$kind" --set optimizer.clip=1.0
      same "$(digest 1 "$@")" "$(digest 3 "$@")" "$kind on 3 ranks"
    done ;;
  resume)
    dir=$work/resume
    rm -rf "$dir"
    set -- "${cnn[@]}" --set "checkpoint.dir=$dir/straight" --set train.accumulate=2 --set train.batch=64
    reference=$(digest 2 "$@")
    set -- "$@" --set "checkpoint.dir=$dir/stopped"
    first=$(digest 3 "$@" --stop-after 11)
    digest 1 "$@" --resume --stop-after 29 > /dev/null
    digest 4 "$@" --resume --stop-after 30 --set run.threads=2 > /dev/null
    same "$reference" "$(digest 2 "$@" --resume)" "stopped after 11, 29 and 30 steps on 3, 1 and 4 ranks"
    differs "$reference" "$first" "an earlier step has another digest"
    "$program" verify "$dir/straight" "$dir/stopped"
    same_metrics "$dir" ;;
  messages)
    # Between pretended nodes nothing is shared: as many nodes as ranks means messages alone.
    set -- "${cnn[@]}"
    same "$(digest 1 "$@")" "$(digest 4 "$@" --set parallel.pretend_nodes=0,1,2,3)" "4 nodes of 1 rank"
    # Sizes of buckets, measured and fixed, and a thread that moves messages, in every strategy.
    nodes=(--set "parallel.pretend_nodes=0,1,1,2")
    reference=$(digest 1 "$@")
    for bucket in 0 4096 65536; do
      same "$reference" "$(digest 4 "$@" "${nodes[@]}" --set "parallel.bucket_bytes=$bucket")" "buckets of $bucket"
      if [ $bucket = 0 ]; then grep 'measured: .* us, .* GB/s between nodes' "$log" | tail -n 1; fi
    done
    for strategy in replicated "sharded --set parallel.stage=1" "sharded --set parallel.stage=2" "sharded --set parallel.stage=3"; do
      # shellcheck disable=SC2086
      same "$reference" "$(digest 4 "$@" "${nodes[@]}" --set parallel.bucket_bytes=4096 --set run.progress=on --set parallel.strategy=$strategy)" \
        "$strategy, a thread moves messages"
    done
    same "$reference" "$(digest 3 "$@" --set run.progress=on --set run.threads=2 --set parallel.pretend_nodes=0,0,1)" "2 threads and one that moves messages"
    # The mpi reduction leaves the contract and says so; it must still train.
    digest 3 "$@" --set parallel.reduce=mpi > /dev/null
    grep -q 'outside the contract' "$log" && echo "ok: reduce = mpi says what it is" ;;
  threads)
    set -- "${mlp[@]}" --set train.accumulate=2 --set train.batch=96
    reference=$(digest 1 "$@")
    for threads in 2 3 4; do
      same "$reference" "$(OMP_NUM_THREADS=$threads digest 1 "$@" --set run.threads=$threads)" "$threads threads"
    done ;;
  batch_exact)
    # Another seed, batch or number of lanes is another run: the digest must notice.
    reference=$(digest 1 "${mlp[@]}")
    differs "$reference" "$(digest 1 "${mlp[@]}" --set train.seed=2)" "another seed"
    differs "$reference" "$(digest 1 "${mlp[@]}" --set train.lanes=4)" "another number of lanes"
    differs "$reference" "$(digest 1 "${mlp[@]}" --set optimizer.lr=0.0010001)" "another learning rate" ;;
  verify)
    dir=$work/verify
    rm -rf "$dir"
    digest 1 "${mlp[@]}" --set "checkpoint.dir=$dir/a" --set train.steps=5 > /dev/null
    digest 2 "${mlp[@]}" --set "checkpoint.dir=$dir/b" --set train.steps=5 > /dev/null
    "$program" verify "$dir/a" "$dir/b"
    digest 2 "${mlp[@]}" --set "checkpoint.dir=$dir/c" --set train.steps=5 --set train.seed=9 > /dev/null
    set +e
    "$program" verify "$dir/a" "$dir/c" > "$dir/verify.txt"
    status=$?
    set -e
    cat "$dir/verify.txt"
    [ $status -eq 1 ] || { echo "FAILED: verify of two runs that differ gave exit code $status"; exit 1; }
    grep -q 'hidden1.weight' "$dir/verify.txt" ;;
  work_counts)
    # It is no trick: each rank computes only the samples that it was dealt, and sends what the fold
    # must send. 50 steps of 48 samples on 4 ranks: 600 each; 5 ranks of 8 lanes: 2 lanes, or 1.
    row() { sed -n "s/^  $1  *//p" "$log" | tail -n 1 | tr -s ' '; }
    same "600 600 600" "$(digest 4 "${mlp[@]}" > /dev/null; row 'samples computed')" "samples on 4 ranks"
    same "300 480 600" "$(digest 5 "${mlp[@]}" > /dev/null; row 'samples computed')" "samples on 5 ranks"
    # On one node nothing but shared memory is used. P = 12,213 parameters in blocks; a rank of 4 reads a
    # quarter of the other three ranks' sums.
    same "0 0 0" "$(digest 4 "${mlp[@]}" > /dev/null; row 'bytes in messages')" "no messages on a node"
    # One rank a node: nothing is read from peers, all travels in messages.
    one_each=(--set "parallel.pretend_nodes=0,1,2,3")
    same "0 0 0" "$(digest 4 "${mlp[@]}" "${one_each[@]}" > /dev/null; row 'bytes read from peers')" "no window between nodes"
    read -r least mean most <<< "$(row 'bytes in messages')"
    # Each step a rank sends 3/4 of its sum to the owners, and its quarter to three others: 1.5 x 4 P bytes and
    # the records, P = 144*67+67 + 67*33+33 + 33*4+4.
    floor=$((50 * 6 * (144 * 67 + 67 + 67 * 33 + 33 + 33 * 4 + 4)))
    echo "messages: $least to $most bytes a rank, at least $floor"
    [ "$mean" -ge $floor ] && [ "$mean" -le $((floor * 11 / 10 + 50 * 8192)) ] ;;
  *) echo "no case '$case'" >&2; exit 2 ;;
esac
