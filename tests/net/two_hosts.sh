#!/usr/bin/env bash
# Two "hosts" on this machine, joined by a link of so many Mbit/s, for as long as a command runs. A host is
# namespaces for network, host name and mounts: a name, an address, a /dev/shm and a TMPDIR of its own.
# The command runs on host-a, and an mpirun in it reaches both:
#
#   tests/net/two_hosts.sh 1000 scripts/mpirun.sh --host host-a:2,host-b:2 -np 4 lockstep train run.toml
#   tests/net/two_hosts.sh --check    # can it work here? Says why not, with exit code 2
#
# The link is a veth pair, limited by tc's token bucket in both directions; its interface is `wire` on both.
# Needs iproute2, and root or the right to make user namespaces. Nothing is left running, even after a
# kill -9: the namespaces are kept by two processes that die with this script, and so does the command.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rate=${1:?usage: two_hosts.sh MBIT_PER_SECOND COMMAND...}
shift

refuse() {
  echo "two_hosts.sh: cannot run here: $*" >&2
  exit 2
}
for tool in ip tc unshare nsenter setpriv mpirun; do
  command -v $tool > /dev/null || PATH=$PATH:/usr/sbin:/sbin
  command -v $tool > /dev/null || refuse "there is no $tool (iproute2, util-linux and openmpi-bin have them)"
done
export PATH
if [ "$(id -u)" -ne 0 ]; then  # root of a user namespace will do
  unshare --user --map-root-user true 2> /dev/null || refuse "not root, and user namespaces are not permitted"
  exec unshare --user --map-root-user "${BASH_SOURCE[0]}" "$rate" "$@"
fi
if [ "$rate" = --check ]; then
  rate=1000
  set -- true
fi
[[ $rate =~ ^[1-9][0-9]*$ ]] || refuse "'$rate' is not a rate in Mbit/s, like 1000"

LOCKSTEP_TWO_HOSTS=$(mktemp -d "${TMPDIR:-/tmp}/two_hosts.XXXXXX")
export LOCKSTEP_TWO_HOSTS
keepers=()
tear_down() {
  [ ${#keepers[@]} -eq 0 ] || kill "${keepers[@]}" 2> /dev/null || true
  rm -rf "$LOCKSTEP_TWO_HOSTS"
}
trap tear_down EXIT

printf '%s\n' '127.0.0.1 localhost' '10.77.0.1 host-a' '10.77.0.2 host-b' > "$LOCKSTEP_TWO_HOSTS/hosts"
keep() {  # host: its namespaces, kept by a process that does nothing else
  # shellcheck disable=SC2016
  exec unshare --net --uts --mount --propagation private -- setpriv --pdeathsig KILL sh -ec '
    hostname "$1"
    mount --bind "$2/hosts" /etc/hosts
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    ip link set lo up
    echo ready
    exec sleep infinity > /dev/null' keep "$1" "$LOCKSTEP_TWO_HOSTS"
}
for host in host-a host-b; do
  mkdir "$LOCKSTEP_TWO_HOSTS/$host"
  exec {ready}< <(keep $host 2> "$LOCKSTEP_TWO_HOSTS/errors")
  keepers+=($!)
  echo $! > "$LOCKSTEP_TWO_HOSTS/$host.keeper"
  read -r -u "$ready" _ || refuse "namespaces are not permitted: $(tail -n 1 "$LOCKSTEP_TWO_HOSTS/errors")"
done

on() { "$here/enter_host.sh" "$@"; }
link() {  # called where set -e does not hold
  # The bucket holds 2 ms of the rate, so that a late timer loses nothing, but at least the largest packet
  # that TCP hands down whole.
  local burst=$((rate * 250 > 65536 ? rate * 250 : 65536))
  on host-a ip link add wire type veth peer name wire netns "${keepers[1]}" || return
  for end in host-a=10.77.0.1 host-b=10.77.0.2; do
    on "${end%=*}" ip address add "${end#*=}/24" dev wire &&
      on "${end%=*}" ip link set wire up &&
      on "${end%=*}" tc qdisc add dev wire root tbf rate "${rate}mbit" burst $burst latency 50ms || return
  done
}
link 2> "$LOCKSTEP_TWO_HOSTS/errors" || refuse "no link of $rate Mbit/s: $(tail -n 1 "$LOCKSTEP_TWO_HOSTS/errors")"

export OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent="$here/enter_host.sh"
export OMPI_MCA_oob_tcp_if_include=wire OMPI_MCA_btl_tcp_if_include=wire
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=vader,tcp,self  # vader is within a host
setpriv --pdeathsig TERM "$here/enter_host.sh" host-a "$(printf "%q " "$@")" &
command=$!
trap 'kill "$command" 2> /dev/null || true' INT TERM
status=0
wait "$command" || status=$?
wait "$command" 2> /dev/null || true  # after a signal: until it has ended
exit $status
