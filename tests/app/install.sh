#!/usr/bin/env bash
# Installs to a folder, moves it, runs the program there, and uninstalls. Arguments: cmake, the build
# folder, the repository.
set -euo pipefail
cmake=$1 build=$2 repository=$3
place=$(mktemp -d "${TMPDIR:-/tmp}/lockstep install.XXXXXX")
manifest=$build/install_manifest.txt
if [ -f "$manifest" ]; then cp "$manifest" "$place/kept"; fi
restore() {
  if [ -f "$place/kept" ]; then cp "$place/kept" "$manifest"; fi
  rm -rf "$place"
}
trap restore EXIT

"$cmake" --install "$build" --prefix "$place/first" > /dev/null
mv "$place/first" "$place/moved"
"$place/moved/bin/lockstep" --version | grep -q '^lockstep '
for file in bin/lockstep share/man/man1/lockstep.1 share/man/man1/lockstep-train.1 \
            share/bash-completion/completions/lockstep; do
  [ -s "$place/moved/$file" ] || { echo "FAILED: $file was not installed"; exit 1; }
done
if grep -rlF "$build" "$place/moved"; then echo "FAILED: these name the build folder"; exit 1; fi

mv "$place/moved" "$place/first"
"$cmake" -D MANIFEST="$manifest" -P "$repository/cmake/Uninstall.cmake" > /dev/null
left=$(find "$place/first" -type f)
[ -z "$left" ] || { echo "FAILED: uninstall left $left"; exit 1; }
