#!/usr/bin/env bash
# Ranks on two hosts with a network between them. Arguments: the program (of the case collectives: its test), a
# data file, the case.
set -euo pipefail
program=$1 data=$2 case=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mpirun=$here/../../scripts/mpirun.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT

same() {  # expected, got, what
  if [ "$1" != "$2" ]; then echo "FAILED: $3: $2, expected $1"; exit 1; fi
  echo "ok: $3: $2"
}
mlp() {  # command to start ranks...: trains, prints the digest, leaves the output in $log
  "$@" "$program" train "$here/../contract/mlp.toml" --set "data.path=$data" > "$log" 2>&1 ||
    { tail -n 20 "$log" >&2; return 1; }
  grep -oE '^digest [0-9a-f]{32}' "$log"
}
on_hosts() { mlp "$here/two_hosts.sh" "$@"; }  # rate, command to start ranks...

case $case in
  link)
    # Each direction carries no more than its rate, and on a busy machine still a good part of it.
    for rate in 100 1000; do
      both=$("$here/two_hosts.sh" $rate python3 "$here/throughput.py")
      for got in $both; do
        echo "a link of $rate Mbit/s carries $got Mbit/s"
        if [ "$got" -gt $((rate * 102 / 100)) ] || [ "$got" -lt $((rate / 4)) ]; then echo FAILED; exit 1; fi
      done
    done ;;
  topology)
    # Nothing but the network is common: names and /dev/shm differ, and the ranks see two nodes.
    seen=$("$here/two_hosts.sh" 1000 bash -c "touch /dev/shm/mine; hostname
      '$here/enter_host.sh' host-b 'hostname; ls -A /dev/shm'")
    same $'host-a\nhost-b' "$seen" "two names, and nothing shared in memory"
    for hosts in host-a:2,host-b:2 host-a:3,host-b:1; do
      on_hosts 1000 "$mpirun" --host $hosts -np 4 > /dev/null
      same "4 ranks on 2 nodes" "$(grep -oE '[0-9]+ ranks on [0-9]+ nodes' "$log")" "$hosts"
    done ;;
  mlp)
    reference=$(mlp "$mpirun" -np 1)
    same "$reference" "$(on_hosts 1000 "$mpirun" --host host-a:2,host-b:2 -np 4)" "2 + 2 ranks at 1 Gbit/s"
    same "$reference" "$(on_hosts 100 "$mpirun" --host host-a:2,host-b:2 --map-by node -np 4)" \
      "2 + 2 ranks, round-robin, at 100 Mbit/s"
    same "$reference" "$(on_hosts 1000 "$mpirun" --host host-a:1,host-b:2 -np 3)" "1 + 2 ranks" ;;
  collectives)
    for rate in 100 1000; do
      "$here/two_hosts.sh" $rate "$mpirun" --host host-a:3,host-b:2 --map-by node -np 5 "$program"
    done ;;
  clocks)
    # Both hosts have this machine's clock: the offset that is found must be 0, give or take what it says.
    run=$(mktemp -d)
    trap 'rm -rf "$log" "$run"' EXIT
    LOCKSTEP_FAULT="kill rank=3 at=fold step=5" "$here/two_hosts.sh" 1000 "$mpirun" -x LOCKSTEP_FAULT \
      --host host-a:2,host-b:2 -np 4 "$program" train "$here/../contract/mlp.toml" --set "data.path=$data" \
      --set "checkpoint.dir=$run" > "$log" 2>&1 && { echo "FAILED: nobody was killed"; exit 1; }
    python3 "$here/clock_offsets.py" "$run/events"
    "$program" trace "$run" --last 5 ;;
  *) echo "no case '$case'" >&2; exit 2 ;;
esac
