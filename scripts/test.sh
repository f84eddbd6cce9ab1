#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test; ends with ctest's summary. Tests with the label
# `long` run only when LOCKSTEP_LONG=1; a seeded sample of each always runs, as a test of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./scripts/setup.sh scripts/debian-packages-tests.txt
./scripts/build.sh
exclude=(-LE '^long$')
[ "${LOCKSTEP_LONG:-0}" = 1 ] && exclude=()
exec ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)" "${exclude[@]}" "$@"
