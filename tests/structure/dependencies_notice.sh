#!/usr/bin/env bash
# Gives dependencies.sh small trees that each break one rule, and one that breaks none.
set -euo pipefail
check=${1:?usage: dependencies_notice.sh dependencies.sh}
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
plant() {  # file, text
  rm -rf "${tree:?}"/* && mkdir -p "$tree/src" "$tree/include" "$tree/cmake" "$tree/tests" "$tree/benchmarks"
  touch "$tree/CMakeLists.txt"
  mkdir -p "$(dirname "$tree/$1")" && printf '%s\n' "$2" > "$tree/$1"
}
plant src/train/good.cpp '#include "lockstep/core/error.h"'
"$check" "$tree"
expect_breach() {
  plant "$1" "$2"
  if "$check" "$tree" > /dev/null; then echo "not noticed: $1: $2"; exit 1; fi
}
expect_breach src/core/bad.cpp '#include "lockstep/train/run.h"'
expect_breach src/nn/bad.cpp '#include "lockstep/comm/fold.h"'
expect_breach src/data/bad.cpp '#include "lockstep/nn/model.h"'
expect_breach src/parallel/bad.cpp '#include <mpi.h>'
expect_breach src/nn/bad.cpp '#include <hdf5.h>'
expect_breach src/train/bad.cpp '#include <CLI/CLI.hpp>'
expect_breach cmake/Settings.cmake 'add_compile_options(-ffast-math)'
expect_breach src/core/long.cpp "$(yes '// line' | head -n 401)"
echo "every breach is noticed"
