#!/usr/bin/env bash
# The completion in a bash of its own: what it offers where. Arguments: the program, the completion file.
set -euo pipefail
program=$1
source "$2"
failed=0

# offers WORD... : what is offered for the last word of the line.
offers() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  _lockstep 2> /dev/null || :
  echo "${COMPREPLY[*]}"
}
expect() {  # wanted, line...
  local wanted=$1 got; shift
  got=$(offers "$@")
  [ "$got" = "$wanted" ] || { echo "FAILED: '$*' offers '$got', not '$wanted'"; failed=1; }
}
cd "$(mktemp -d)"; trap 'rm -rf "$PWD"' EXIT; touch run.toml

expect "train" lockstep trai
expect "train eval generate export import inspect config verify trace plan doctor report bench" lockstep ""
expect "run.toml" lockstep train r
expect "calibrate" lockstep bench cal
expect "--out" lockstep bench calibrate --ou
expect "--overwrite" lockstep train --ov
expect "--version" lockstep --v
expect "train.batch=" lockstep train run.toml --set train.b
expect "adam adamw" lockstep train run.toml --set optimizer.kind = ad
expect "true false" lockstep train run.toml --set run.mixed =
expect "run.toml" lockstep train run.toml --set data.path = ru
for key in $("$program" train --help | grep -oE '^  [a-z]+\.[a-z0-9_]+ =' | sed 's/ =//'); do
  [[ " $(offers lockstep train --set "$key") " == *" $key= "* ]] ||
    { echo "FAILED: $key is not offered"; failed=1; }
done
exit $failed
