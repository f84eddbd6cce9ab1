# How the work is shared: sharded, served and local runs. Sourced by contract.sh.
# shellcheck shell=bash disable=SC2154

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
