# Orders of the data and caches. Sourced by contract.sh.
# shellcheck shell=bash disable=SC2154

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
