# Lanes that move between ranks and nodes. Sourced by contract.sh.
# shellcheck shell=bash disable=SC2154

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
