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

# Sharded parameters, in all stages, against replicated ones on one rank; and through stops that change
# strategy and number of ranks.
sharded() {  # lanes, arguments
  local lanes=$1 reference stage dir=$work/$case
  shift
  rm -rf "$dir"
  set -- "$@" --set "train.lanes=$lanes" --set train.batch=48
  reference=$(digest 1 "$@")
  echo "reference: $reference"
  for stage in 1 2 3; do
    local way=("$@" --set parallel.strategy=sharded --set "parallel.stage=$stage")
    for ranks in 1 2 3 8; do same "$reference" "$(digest $ranks "${way[@]}")" "stage $stage, $ranks ranks"; done
    same "$reference" "$(digest 3 "${way[@]}" --set parallel.pretend_nodes=0,1,1)" "stage $stage, nodes of 1+2 ranks"
    same "$reference" "$(digest 6 "${way[@]}" --set parallel.pretend_nodes=0,1,0,2,1,0)" "stage $stage, nodes of 3+2+1 ranks, mixed"
    if [ "$stage" = 3 ]; then
      same "$reference" "$(digest 2 "${way[@]}" --set parallel.lane_group=3)" "stage 3, 2 ranks, 3 lanes together"
    else
      same "$reference" "$(digest 2 "${way[@]}" --set run.threads=2)" "stage $stage, 2 ranks, 2 threads"
    fi
    local saves=(--set "checkpoint.dir=$dir/$stage")
    digest 3 "${way[@]}" "${saves[@]}" --stop-after 4 > /dev/null
    digest 2 "$@" "${saves[@]}" --resume --stop-after 7 > /dev/null
    same "$reference" "$(digest 4 "${way[@]}" "${saves[@]}" --set "parallel.stage=$((4 - stage))" --set parallel.pretend_nodes=0,1,1,1 --resume)" \
      "stage $stage on 3 ranks, replicated on 2, stage $((4 - stage)) on 4"
  done
}

# A parameter server in mode sync against replicated parameters on one rank; and through stops that change
# strategy and number of servers.
served() {  # lanes, arguments
  local lanes=$1 reference dir=$work/$case
  shift
  rm -rf "$dir"
  set -- "$@" --set "train.lanes=$lanes" --set train.batch=48
  reference=$(digest 1 "$@")
  echo "reference: $reference"
  local way=("$@" --set parallel.strategy=server)
  same "$reference" "$(digest 2 "${way[@]}")" "1 server, 1 worker"
  same "$reference" "$(digest 4 "${way[@]}")" "1 server, 3 workers"
  same "$reference" "$(digest 5 "${way[@]}" --set parallel.servers=3)" "3 servers, 2 workers"
  same "$reference" "$(digest 4 "${way[@]}" --set parallel.servers=2 --set run.threads=2 --set parallel.bucket_bytes=4096)" "2 servers, 2 workers, 2 threads"
  same "$reference" "$(digest 5 "${way[@]}" --set parallel.servers=2 --set parallel.pretend_nodes=0,1,0,2,1)" "2 servers, 3 workers on 3 nodes, mixed"
  set -- "$@" --set "checkpoint.dir=$dir"
  digest 3 "$@" --set parallel.strategy=server --stop-after 4 > /dev/null
  digest 2 "$@" --resume --stop-after 7 > /dev/null
  same "$reference" "$(digest 5 "$@" --set parallel.strategy=server --set parallel.servers=2 --resume)" \
    "1 server, replicated on 2 ranks, 2 servers"
}

# Replicas that step alone and meet: one digest of their own on any number of ranks, and through stops, which
# wait for a meeting.
meeting() {  # arguments
  local reference ranks dir=$work/$case
  rm -rf "$dir"
  set -- "$@" --set parallel.strategy=local
  reference=$(digest 1 "$@" --set "checkpoint.dir=$dir/straight" --set checkpoint.every=10steps)
  echo "reference: $reference"
  for ranks in 2 3 4 6; do same "$reference" "$(digest $ranks "$@")" "$ranks ranks"; done
  same "$reference" "$(digest 2 "$@" --set run.threads=2)" "2 ranks, 2 threads"
  same "$reference" "$(digest 3 "$@" --set parallel.pretend_nodes=0,1,1)" "nodes of 1+2 ranks"
  same "$reference" "$(digest 6 "$@" --set parallel.pretend_nodes=0,1,0,2,1,0)" "nodes of 3+2+1 ranks, mixed"
  same "$reference" "$(digest 2 "$@" --set parallel.bucket_bytes=4096)" "small buckets"
  set -- "$@" --set "checkpoint.dir=$dir/stopped" --set checkpoint.every=10steps
  digest 3 "$@" --stop-after 5 > /dev/null
  digest 1 "$@" --resume --stop-after 15 > /dev/null
  digest 6 "$@" --resume --stop-after 22 --set parallel.pretend_nodes=0,1,1,1,0,0 > /dev/null
  same "$reference" "$(digest 2 "$@" --resume)" "stopped at meetings on 3, 1 and 6 ranks"
  "$program" verify "$dir/straight" "$dir/stopped"
  same_metrics "$dir"
}

# A token model at one precision, activations kept or computed again, and through stops.
tokens() {  # run file
  local run=$1 precision reference=() ranks dir=$work/$case
  rm -rf "$dir"
  for precision in fp32 bf16; do
    set -- "$here/$run" --set "data.path=$text" --set "train.precision=$precision"
    reference+=("$(digest 1 "$@")")
    echo "reference: $precision: ${reference[-1]}"
    same "${reference[-1]}" "$(digest 1 "$@" --set train.recompute=block)" "$precision, blocks computed again"
    for ranks in 2 4; do same "${reference[-1]}" "$(digest $ranks "$@")" "$precision, $ranks ranks"; done
    for ranks in 3 8; do
      same "${reference[-1]}" "$(digest $ranks "$@" --set train.recompute=block)" "$precision, $ranks ranks, blocks computed again"
    done
    same "${reference[-1]}" "$(digest 2 "$@" --set run.threads=2 --set parallel.pretend_nodes=0,1)" "$precision, 2 nodes, 2 threads each"
    set -- "$@" --set "checkpoint.dir=$dir/$precision"
    digest 3 "$@" --set train.recompute=block --stop-after 7 > /dev/null
    same "${reference[-1]}" "$(digest 4 "$@" --resume)" "$precision, stopped after 7 steps on 3 ranks, resumed on 4"
  done
  # Where the machine has bf16 arithmetic it must make a difference.
  if grep -qE '^ *precision +bf16' "$log"; then differs "${reference[0]}" "${reference[1]}" "fp32 and bf16 are two runs"; fi
}

# The same, with all ranks on one core and the first of them held back there.
uneven() {  # ranks, arguments
  local ranks=$1 core found
  shift
  core=$(taskset -cp $$ | sed 's/.*: *//; s/[,-].*//')
  taskset -c "$core" "$mpirun" -np 1 nice -n 8 "$program" train "$@" : -np $((ranks - 1)) "$program" train "$@" \
    >> "$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
  found=$(grep -oE '^digest [0-9a-f]{32}' "$log" | tail -n 1)
  echo "${found#digest }"
}
# Lanes that move between ranks: dealt by measured speed, or taken from those that are behind.
moving() {  # lanes, arguments
  local lanes=$1 reference kind dir=$work/$case
  shift
  rm -rf "$dir"
  set -- "$@" --set "train.lanes=$lanes" --set train.batch=48 --set data.window=11
  reference=$(digest 1 "$@")
  echo "reference: $reference"
  same "$reference" "$(uneven 3 "$@")" "static, a slow rank of 3"
  for kind in adaptive queue; do
    local way=("$@" --set "assignment.kind=$kind")
    same "$reference" "$(digest 1 "${way[@]}" --set run.threads=3)" "$kind, 1 rank, 3 threads"
    # Slow beyond doubt, so that lanes must move.
    same "$reference" "$(LOCKSTEP_FAULT="slow rank=0 at=forward ms=10 step=3" uneven 2 "${way[@]}")" "$kind, a slow rank of 2"
    tail -n 8 "$log" | grep -qE 'lanes: [0-9. ]+ on average by rank; (dealt anew [1-9]|[1-9][0-9]* taken)' "$log" || { echo "FAILED: $kind moved no lane"; exit 1; }
    same "$reference" "$(uneven 4 "${way[@]}")" "$kind, a slow rank of 4"
    same "$reference" "$(digest 3 "${way[@]}" --set run.threads=2 --set parallel.bucket_bytes=4096)" "$kind, 3 ranks, 2 threads, small buckets"
    same "$reference" "$(uneven 5 "${way[@]}" --set parallel.pretend_nodes=0,1,0,1,1)" "$kind, a slow rank on nodes of 2+3"
    same "$reference" "$(uneven 3 "${way[@]}" --set parallel.strategy=sharded --set parallel.stage=1)" "$kind, sharded, stage 1"
  done
  set -- "$@" --set "checkpoint.dir=$dir"
  uneven 3 "$@" --set assignment.kind=queue --stop-after 13 > /dev/null
  uneven 2 "$@" --set assignment.kind=adaptive --resume --stop-after 31 > /dev/null
  same "$reference" "$(uneven 4 "$@" --set assignment.kind=queue --set assignment.extra=1 --resume)" "queue, adaptive, queue, stopped after 13 and 31 steps"
}

# Lanes that are dealt between nodes, at the edges of windows, because all of a node's ranks are slow from step 3 on.
between() {  # lanes, arguments
  local lanes=$1 reference dir=$work/$case
  shift
  rm -rf "$dir"
  set -- "$@" --set "train.lanes=$lanes" --set train.batch=48 --set data.window=11
  reference=$(digest 1 "$@")
  echo "reference: $reference"
  slowed() {  # slow ranks, ranks, nodes, arguments
    local slow=$1 ranks=$2 nodes=$3 faults='' r
    shift 3
    for r in $slow; do faults+="slow rank=$r at=forward ms=20 step=3; "; done
    LOCKSTEP_FAULT=$faults digest "$ranks" "$@" --set "parallel.pretend_nodes=$nodes"
  }
  dealt() {  # what: the run that was the last one
    tail -n 8 "$log" | grep -qE 'between nodes [1-9]' || { echo "FAILED: $1: no lane has left its node"; exit 1; }
  }
  local way=("$@" --set assignment.kind=adaptive)
  same "$reference" "$(slowed "0" 2 0,1 "${way[@]}")" "nodes of 1+1"
  dealt "nodes of 1+1"
  same "$reference" "$(slowed "0" 3 0,1,1 "${way[@]}" --set run.threads=2)" "nodes of 1+2, 2 threads"
  dealt "nodes of 1+2, 2 threads"
  same "$reference" "$(slowed "1 3" 4 0,1,0,1 "${way[@]}" --set parallel.strategy=sharded --set parallel.stage=1)" "nodes of 2+2, mixed, sharded, stage 1"
  dealt "nodes of 2+2, stage 1"
  same "$reference" "$(slowed "3 4" 6 0,0,0,1,1,2 "${way[@]}" --set parallel.bucket_bytes=4096 --set run.progress=on)" "nodes of 3+2+1, small buckets, a thread moves messages"
  dealt "nodes of 3+2+1"
  local bf16
  bf16=$(digest 1 "$@" --set precision.leaf=bf16)
  same "$bf16" "$(slowed "2" 3 0,0,1 "${way[@]}" --set precision.leaf=bf16)" "nodes of 2+1, leaves in bf16"
  dealt "nodes of 2+1, leaves in bf16"
  # A resumed run begins with the even cut, wherever in a window it stopped.
  way+=(--set "checkpoint.dir=$dir")
  slowed "0" 2 0,1 "${way[@]}" --stop-after 17 > /dev/null
  slowed "2" 3 0,1,1 "${way[@]}" --resume --stop-after 33 > /dev/null
  same "$reference" "$(slowed "0 1" 4 0,0,1,1 "${way[@]}" --resume)" "stopped after 17 and 33 steps on 2 and 3 ranks"
}

# The orders of data.shuffle other than window: one digest each, wherever the samples lie.
orders() {  # lanes, arguments
  local lanes=$1 reference order plain losses=() dir=$work/$case
  shift
  rm -rf "$dir"
  set -- "$@" --set "train.lanes=$lanes" --set train.batch=48
  plain=$(digest 1 "$@")
  for order in none full; do
    local way=("$@" --set "data.shuffle=$order")
    reference=$(digest 1 "${way[@]}" --set "checkpoint.dir=$dir/$order-straight")
    differs "$plain" "$reference" "$order is an order of its own: $reference"
    for ranks in 2 3 5 8; do same "$reference" "$(digest $ranks "${way[@]}")" "$order, $ranks ranks"; done
    same "$reference" "$(digest 2 "${way[@]}" --set run.threads=2 --set data.window=17)" "$order, 2 ranks, 2 threads, other windows"
    same "$reference" "$(digest 3 "${way[@]}" --set parallel.pretend_nodes=0,1,1)" "$order, nodes of 1+2 ranks"
    same "$reference" "$(digest 6 "${way[@]}" --set parallel.pretend_nodes=0,1,0,2,1,0 --set data.window=1 --set run.threads=2)" \
      "$order, nodes of 3+2+1 ranks, mixed, 2 threads, a message a step"
    # Mid-epoch, which is 18 steps, on other ranks and nodes each time.
    way+=(--set "checkpoint.dir=$dir/$order")
    digest 3 "${way[@]}" --stop-after 11 > /dev/null
    digest 8 "${way[@]}" --resume --stop-after 25 --set parallel.pretend_nodes=0,1,1,0,2,2,1,0 > /dev/null
    digest 1 "${way[@]}" --resume --stop-after 29 --set run.threads=2 > /dev/null
    same "$reference" "$(digest 4 "${way[@]}" --resume --set parallel.pretend_nodes=0,1,0,1)" "$order, stopped in mid-epoch on 3, 8 and 1 ranks"
    "$program" verify "$dir/$order-straight" "$dir/$order"
  done
  if "$mpirun" -np 2 "$program" train "$@" --set "checkpoint.dir=$dir/full" --set train.steps=60 --resume > "$dir/other.txt" 2>&1; then
    echo "FAILED: mid-epoch a run went on in another order"
    exit 1
  fi
  grep -q 'data.shuffle = window (full in the checkpoint)' "$dir/other.txt" && echo "ok: no other order in mid-epoch"
  way=("$@" --set data.shuffle=full)
  same "$reference" "$(digest 4 "${way[@]}" --set parallel.pretend_nodes=0,1,2,3 --set run.progress=on --set parallel.strategy=sharded --set parallel.stage=3)" \
    "full, 4 nodes, a thread moves messages, sharded, stage 3"
  same "$reference" "$(digest 5 "${way[@]}" --set parallel.strategy=server --set parallel.servers=2 --set parallel.pretend_nodes=0,1,0,2,1)" \
    "full, 2 servers and 3 workers on 3 nodes"
  for kind in adaptive queue; do
    same "$reference" "$(uneven 5 "${way[@]}" --set "assignment.kind=$kind" --set parallel.pretend_nodes=0,1,0,1,1)" \
      "full, $kind, a slow rank on nodes of 2+3"
    same "$reference" "$(uneven 3 "${way[@]}" --set "assignment.kind=$kind" --set run.threads=2)" "full, $kind, a slow rank of 3"
  done
  # A run that goes back to a checkpoint, and on behind the bad step, leaves samples out on all ranks.
  way=("$@" --set data.shuffle=full --set checkpoint.every=5steps --set train.on_nonfinite=rollback --set train.rollback_skip=3 --set data.window=1)
  reference=$(LOCKSTEP_FAULT="nan rank=0 at=gradient step=20" digest 1 "${way[@]}" --set "checkpoint.dir=$dir/back-1")
  same "$reference" "$(LOCKSTEP_FAULT="nan rank=1 at=gradient step=20" digest 3 "${way[@]}" --set "checkpoint.dir=$dir/back-3" --set parallel.pretend_nodes=0,1,1)" \
    "full, back to a checkpoint, nodes of 1+2 ranks"
  way=("$@" --set data.shuffle=full)
  # Replicas that step alone: on one node they need no messages, on two they are refused.
  local apart=("${way[@]}" --set parallel.strategy=local --set parallel.every=7 --set train.steps=21)
  same "$(digest 1 "${apart[@]}")" "$(digest 3 "${apart[@]}")" "full, replicas that step alone"
  refused "${apart[@]}" --set parallel.pretend_nodes=0,1
  grep -q 'data.shuffle = "full" on 2 nodes' "$dir/refused.txt" && echo "ok: between nodes they are refused"
  refused "${way[@]}" --set data.cache=memory
  grep -q 'data.cache = "memory" has no use' "$dir/refused.txt" && echo "ok: a cache is refused"
  # Sorted by class in long chunks: a batch in window order has few classes, and little is learnt; full order mixes them.
  /usr/bin/python3 -c "import h5py, numpy; a = h5py.File('$data'); f = h5py.File('$dir/sorted.h5', 'w')
order = numpy.argsort(a['train/label'][:], kind='stable')
f.create_dataset('train/image', data=a['train/image'][:][order], chunks=(300, 12, 12))
f.create_dataset('train/label', data=a['train/label'][:][order], chunks=(300,))
f['val/image'], f['val/label'] = a['val/image'][:], a['val/label'][:]"
  for order in window full; do
    digest 1 "$@" --set "data.path=$dir/sorted.h5" --set "data.shuffle=$order" --set data.window=300 --set train.lanes=1 --set train.accumulate=1 \
      --set run.threads=1 --set train.steps=36 > /dev/null
    losses+=("$(grep -oE 'val loss [0-9.]+' "$log" | tail -n 1 | grep -oE '[0-9.]+')")
  done
  echo "sorted by class: loss ${losses[0]} in window order, ${losses[1]} in full order"
  awk "BEGIN { exit !(2 * ${losses[1]} < ${losses[0]}) }" || { echo "FAILED: full order does not mix a sorted dataset"; exit 1; }
  # Samples that make the difference: a node's limit between what the run needs with them and without.
  /usr/bin/python3 -c "import h5py, numpy; f = h5py.File('$dir/large.h5', 'w')
f.create_dataset('train/x', (50000, 1200), 'u1', chunks=(500, 1200), compression=1, fillvalue=3)
f['train/y'] = numpy.arange(50000, dtype='u1') % 4"
  way+=(--set "data.path=$dir/large.h5" --set data.val=)
  refused "${way[@]}" --set "run.memory=$((($(node_mebibytes "${way[@]}") - 30) << 20))"
  grep 'for this node.s share of the samples' "$dir/refused.txt"
}
# Caches of the data: whatever is kept, wherever, and however much of it.
cached() {  # arguments
  local reference cache bytes ranks dir=$work/$case
  rm -rf "$dir"
  mkdir -p "$dir"
  reference=$(digest 1 "$@")
  echo "reference: $reference"
  for cache in memory node; do
    for bytes in 0 60000; do
      local way=("$@" --set "data.cache=$cache" --set "data.cache_bytes=$bytes" --set "data.cache_dir=$dir/$bytes")
      for ranks in 1 2 3; do same "$reference" "$(digest $ranks "${way[@]}")" "$cache, $bytes bytes, $ranks ranks"; done
    done
    same "$reference" "$(digest 3 "${way[@]}" --set parallel.pretend_nodes=0,1,1 --set assignment.kind=queue)" "$cache, nodes of 1+2 ranks, lanes move"
    grep -q 'data read from the cache' "$log" || { echo "FAILED: $cache: nothing was read from the cache"; exit 1; }
    : > "$log"
  done
  way=("$@" --set data.cache=node --set "data.cache_dir=$dir/0")
  same "$reference" "$(digest 2 "${way[@]}")" "node, all of it from earlier runs"
  grep -E 'data read from files +0 B +0 B +0 B|data read from files +0.00 B +0.00 B +0.00 B' "$log"
  # Bytes of it that are something else now.
  head -c 3000 /dev/urandom | dd of="$(find "$dir/0" -type f | head -n 1)" bs=1 seek=70000 conv=notrunc status=none
  same "$reference" "$(digest 2 "${way[@]}")" "node, damaged"
}
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
    nodes=(--set parallel.pretend_nodes=0,1,1,2)
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
    one_each=(--set parallel.pretend_nodes=0,1,2,3)
    same "0 0 0" "$(digest 4 "${mlp[@]}" "${one_each[@]}" > /dev/null; row 'bytes read from peers')" "no window between nodes"
    read -r least mean most <<< "$(row 'bytes in messages')"
    # Each step a rank sends 3/4 of its sum to the owners, and its quarter to three others: 1.5 x 4 P bytes and
    # the records, P = 144*67+67 + 67*33+33 + 33*4+4.
    floor=$((50 * 6 * (144 * 67 + 67 + 67 * 33 + 33 + 33 * 4 + 4)))
    echo "messages: $least to $most bytes a rank, at least $floor"
    [ "$mean" -ge $floor ] && [ "$mean" -le $((floor * 11 / 10 + 50 * 8192)) ] ;;
  *) echo "no case '$case'" >&2; exit 2 ;;
esac
