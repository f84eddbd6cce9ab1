#!/usr/bin/env bash
# Every man page passes groff's lint, and names every option of its command and every key of the run
# file. Arguments: the program, the folder of the built pages.
set -euo pipefail
program=$1 pages=$2
failed=0
fail() { echo "FAILED: $*"; failed=1; }

for name in lockstep train eval generate import inspect config verify bench; do
  page=$pages/lockstep$([ $name = lockstep ] || echo "-$name").1
  [ -s "$page" ] || { fail "$page is absent or empty"; continue; }
  complaints=$(groff -man -ww -b -z -Tutf8 "$page" 2>&1 || echo "groff failed")
  [ -z "$complaints" ] || fail "$page: $complaints"
  text=$(groff -man -Tutf8 -P-c "$page" | sed 's/.\x08//g')
  command=$([ $name = lockstep ] || echo "$name")
  for option in $("$program" $command --help | sed -n '/^Options:/,/^Keys/p' |
                  grep -oE '^  (-[a-z],)?--[a-z-]+' | grep -oE -e '--[a-z-]+'); do
    grep -q -e "$option" <<< "$text" || fail "$page does not name $option"
  done
done
for key in $("$program" train --help | grep -oE '^  [a-z]+\.[a-z0-9_]+ =' | sed -E 's/^ *[a-z]+\.//; s/ =//'); do
  grep -q "$key = " <<< "$(groff -man -Tutf8 -P-c "$pages/lockstep.1" | sed 's/.\x08//g')" ||
    fail "lockstep.1 does not name the key $key"
done
exit $failed
