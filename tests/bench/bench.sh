#!/usr/bin/env bash
# lockstep bench as people start it: every subcommand alone or under mpirun, on few sizes; what is written is read by
# Python; what is wrong is noticed. Arguments: the program, scripts/mpirun.sh, a work folder.
set -euo pipefail
program=$1 mpirun=$2 work=$3
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$work" && mkdir -p "$work/made" && cd "$work"
fail() { echo "FAILED: $*"; cat out err 2> /dev/null; exit 1; }
# bench CODE PATTERN... -- command: exit code, lines that must be there, no line of more than 100 columns, and the
# same rows in CSV and JSON.
bench() {
  local code=$1 status=0 patterns=()
  shift
  while [ "$1" != -- ]; do patterns+=("$1"); shift; done
  shift
  rm -f t.csv t.json
  "$@" --seconds 0.005 --csv t.csv --json t.json > out 2> err || status=$?
  [ "$status" = "$code" ] || fail "exit code $status, expected $code: $*"
  for pattern in "${patterns[@]}"; do grep -qE -e "$pattern" out || fail "no line '$pattern': $*"; done
  if grep -qE '.{101}' out; then fail "a line of more than 100 columns: $*"; fi
  /usr/bin/python3 "$here/same_figures.py" t.csv t.json > rows || fail "CSV and JSON differ: $*"
}
refused() {  # PATTERN -- command
  local pattern=$1 status=0
  shift 2
  "$@" > out 2> err || status=$?
  [ "$status" = 2 ] || fail "exit code $status, expected 2: $*"
  grep -qE -e "$pattern" err || fail "no word of '$pattern': $*"
}

kernels="gemm 64,convolution 2x8x8x16,norm layer norm 64,elementwise add 16384,embedding 64,loss softmax cross-entropy 64,update adamw 16384,fold add two leaves of 16384,attention 1 x 64"
bench 0 '^64 x 64 x 64 fp32, forward .* ok$' '^ +ceilings +fp32 [0-9.]+ Gflop/s' 'adamw 16384 parameters .* ok$' -- \
  "$program" bench kernels --only "$kernels"
grep -q '^gemm [24]' rows || fail "products are missing"
bench 0 '^ +ranks +2$' '^64 x 64 x 64 fp32, backward .* ok$' -- "$mpirun" -np 2 "$program" bench kernels --only 'gemm 64'
# A result that is wrong, on one rank of two: said, in the files too, and the exit code is 1.
bench 1 'WRONG$' '  WRONG: ' '1 of [24] rows are WRONG' -- env LOCKSTEP_FAULT='nan rank=1 at=bench' \
  "$mpirun" -np 2 "$program" bench kernels --only 'gemm 64'
grep -q nan t.csv || fail "the CSV says nothing of it"
refused 'no such group.*gemm, convolution' -- "$program" bench kernels --only gem

bench 0 '^8 B, node .* us .* ok$' '^8 B fold .* ok$' '^8 B reduce = "mpi" .* ok$' '^8 B MPI_Iallreduce .* ok$' \
  'bus bandwidth = that \* 2 \(n-1\)/n' -- \
  "$mpirun" -np 2 "$program" bench comm --only 'latency 8 B,bandwidth 8 B,bidirectional 8 B,allreduce 8 B,reduce-scatter 8 B,allgather 8 B,broadcast 8 B'
refused 'mpirun -n 2' -- "$program" bench comm

bench 0 '^pread 1 MiB ' '^image .* ok$' '^image_contiguous .* ok$' '^image, H5Dread ' '^windows of .* ok$' -- \
  "$mpirun" -np 2 "$program" bench data --folder made
[ -z "$(ls -A made)" ] || fail "files are left: $(ls -A made)"
bench 1 'byte [0-9]* differs from' -- env LOCKSTEP_FAULT='flip at=bench' "$program" bench data --folder made --only decode

# A run file: its data, its steps.
/usr/bin/python3 - << 'PY'
import h5py, numpy
rng = numpy.random.default_rng(1)
with h5py.File("small.h5", "w") as f:
    f["train/x"] = rng.normal(size=(256, 12)).astype("f4")
    f["train/y"] = rng.integers(0, 3, 256).astype("u1")
PY
cat > run.toml << 'TOML'
[data]
path = "small.h5"
input = "x"
target = "y"
[model]
preset = "mlp"
hidden = [16]
[train]
batch = 32
lanes = 4
epochs = 3
[checkpoint]
dir = "never"
TOML
bench 0 '^x .* ok$' '^windows of .* ok$' -- "$program" bench data run.toml
bench 0 '^mlp .*samples|^mlp .* ok$' '^compute ' '^ +digest +[0-9a-f]{32}$' -- "$program" bench step run.toml
one=$(grep -oE 'digest +[0-9a-f]+' out)
bench 0 '^mlp .* ok$' -- "$mpirun" -np 2 "$program" bench step run.toml
[ "$one" = "$(grep -oE 'digest +[0-9a-f]+' out)" ] || fail "another digest on two ranks"
[ ! -e never ] || fail "a checkpoint was written"
bench 0 '^1 rank .* ok$' '^2 ranks .* ok$' 'efficiency' -- "$mpirun" -np 3 "$program" bench scaling run.toml
[ "$(cut -f1 rows | tr '\n' ' ')" = 'strong 3 weak 3 ' ] || fail "series: $(cat rows)"
bench 0 '^mlp .* ok$' -- "$program" bench step --preset mlp --only step
refused "no model 'mpl'" -- "$program" bench step --preset mpl
refused 'needs a run file' -- "$program" bench step --set train.batch=3
echo "every benchmark did what it says"
