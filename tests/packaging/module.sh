#!/usr/bin/env bash
# Installs to a folder, moves it, and loads its module by Environment Modules: the program, LOCKSTEP_ROOT and the
# batch scripts are found; unloaded, nothing is left. Arguments: cmake, the build folder.
set -euo pipefail
cmake=$1 build=$2
place=$(mktemp -d "${TMPDIR:-/tmp}/lockstep-module.XXXXXX")
manifest=$build/install_manifest.txt
if [ -f "$manifest" ]; then cp "$manifest" "$place/kept"; fi
restore() {
  if [ -f "$place/kept" ]; then cp "$place/kept" "$manifest"; else rm -f "$manifest"; fi
  rm -rf "$place"
}
trap restore EXIT
modulecmd=$(find /usr/lib /usr/share -name modulecmd.tcl 2> /dev/null | head -n 1)
[ -n "$modulecmd" ] || { echo "FAILED, NOT RUN: there are no Environment Modules (apt-get install environment-modules)"; exit 1; }
module() { eval "$(TERM=dumb "$modulecmd" bash "$@")"; }
fail() { echo "FAILED: $*"; exit 1; }

"$cmake" --install "$build" --prefix "$place/first" > /dev/null
mv "$place/first" "$place/moved"
unset LOADEDMODULES _LMFILES_ MODULEPATH LOCKSTEP_ROOT
before=$PATH
module use "$place/moved/share/modulefiles"
module load lockstep
[ "${LOCKSTEP_ROOT:-}" = "$place/moved" ] || fail "LOCKSTEP_ROOT is '${LOCKSTEP_ROOT:-}'"
[ "$(command -v lockstep)" = "$place/moved/bin/lockstep" ] || fail "lockstep is $(command -v lockstep)"
lockstep --version | grep '^lockstep '
for script in train preemptible array scaling; do
  cmp "$LOCKSTEP_ROOT/share/lockstep/slurm/$script.sbatch" "$(dirname "${BASH_SOURCE[0]}")/../../slurm/$script.sbatch" ||
    fail "$script.sbatch was not installed"
done
module unload lockstep
[ "$PATH" = "$before" ] || fail "unloading leaves PATH=$PATH"
[ -z "${LOCKSTEP_ROOT+set}" ] || fail "unloading leaves LOCKSTEP_ROOT"
echo "ok: loaded from $place/moved, and unloaded"
