#!/usr/bin/env bash
# From a bare Debian 12 to a trained network: installs what is missing, builds, imports Fashion-MNIST,
# trains on two ranks, evaluates, and shows that one rank computes the very same bits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf '\n== %s\n' "$*"; }

say "1/5  Install and build"
./scripts/setup.sh
./scripts/build.sh lockstep
lockstep=build/bin/lockstep

say "2/5  Import Fashion-MNIST (70,000 images of clothes, Xiao et al. 2017)"
data=datasets/fashion-mnist.h5
if [ ! -f "$data" ]; then
  mkdir -p datasets
  idx=/usr/share/datasets/fashion-mnist
  "$lockstep" import --format idx --out "$data" \
    --train "$idx/train-images-idx3-ubyte.gz" "$idx/train-labels-idx1-ubyte.gz" \
    --test "$idx/t10k-images-idx3-ubyte.gz" "$idx/t10k-labels-idx1-ubyte.gz"
else
  "$lockstep" inspect "$data"
fi

say "3/5  Train on two ranks"
mpirun=(mpirun --bind-to none)
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
if [ "$(nproc)" -lt 2 ]; then mpirun+=(--oversubscribe); export OMPI_MCA_mpi_yield_when_idle=1; fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${mpirun[@]}" -np 2 "$lockstep" train examples/quickstart.toml --overwrite | tee "$log"

say "4/5  Evaluate on the test images"
"$lockstep" eval runs/quickstart --split test

say "5/5  The first 100 steps again, on one rank"
two=$(sed -n 's/^digest \([0-9a-f]*\) after step 100 .*/\1/p' "$log")
"$lockstep" train examples/quickstart.toml --overwrite --stop-after 100 \
  --set checkpoint.dir=runs/quickstart-one-rank --set train.evaluate_every=0 | tee "$log"
one=$(sed -n 's/^digest \([0-9a-f]*\) after step 100 .*/\1/p' "$log")
echo
echo "two ranks: $two"
echo "one rank:  $one"
if [ -z "$two" ] || [ "$one" != "$two" ]; then
  echo "The digests differ: that must never happen; please report it with both logs." >&2
  exit 1
fi
echo "The same bits."
