#!/usr/bin/env bash
# Runs a command line on a host of two_hosts.sh, with that host's TMPDIR: what ssh is between machines, and so
# mpirun's plm_rsh_agent. As with ssh the words are joined, and the shell there reads them again.
#
#   enter_host.sh host-a|host-b WORDS...
set -euo pipefail
host=${1:?usage: enter_host.sh HOST COMMAND...}
shift
hosts=${LOCKSTEP_TWO_HOSTS:?enter_host.sh runs inside two_hosts.sh}
exec nsenter --target "$(cat "$hosts/$host.keeper")" --net --uts --mount -- \
  env --chdir="$PWD" TMPDIR="$hosts/$host" bash -c "$*"
