#!/usr/bin/env bash
# Configures build/ if that has not been done, and builds. Arguments are ninja's (targets).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -f build/build.ninja ]; then
  echo "Configuring build/"
  cmake --preset release > "$log" 2>&1 || { cat "$log" >&2; exit 2; }
  sed -n '/Dependencies:/,/^$/p' "$log"
fi
ninja -C build "$@"
