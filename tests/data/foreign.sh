#!/usr/bin/env bash
# Other people's files in the real program: one digest on 1, 2 and 3 ranks, and through a stop. Arguments: the
# program, scripts/mpirun.sh, make_foreign.py, a work folder.
set -euo pipefail
program=$1 mpirun=$2 make=$3 work=$4
rm -rf "$work"
mkdir -p "$work"
/usr/bin/python3 "$make" "$work/files"

cat > "$work/deepcam.toml" <<EOF
[data]
input = "data"
target = "number"
[[data.fields]]
name = "data"
path = "/climate/data"
layout = "sample"
[[data.fields]]
name = "number"
path = "/climate/number"
layout = "sample"
[[data.splits]]
name = "train"
files = "$work/files/deepcam/*.h5"
[[data.splits]]
name = "val"
files = ["$work/files/deepcam_val/*.h5"]
[model]
preset = "mlp"
hidden = 16
[train]
batch = 12
lanes = 6
steps = 9
EOF
cat > "$work/cosmo.toml" <<EOF
[data]
path = "$work/files/cosmo/*.hdf5"
input = "full"
target = "unitPar"
split_seed = 3
[[data.fields]]
name = "full"
path = "/full"
layout = "blocks"
block = [4, 2, 4]
[[data.fields]]
name = "unitPar"
path = "/unitPar"
layout = "sample"
[[data.splits]]
name = "val"
fraction = 0.2
[[data.splits]]
name = "train"
[train]
batch = 12
lanes = 6
steps = 11
[[model.layers]]
kind = "conv"
out = 5
kernel = [3, 3, 3]
padding = 1
[[model.layers]]
kind = "relu"
[[model.layers]]
kind = "flatten"
[[model.layers]]
kind = "linear"
EOF

sed 's|path = "/full"|path = "/fool"|' "$work/cosmo.toml" > "$work/cosmo-wrong.toml"

digest() {  # ranks, arguments
  local ranks=$1 found
  shift
  "$mpirun" -np "$ranks" "$program" train "$@" >> "$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; return 1; }
  found=$(grep -oE '^digest [0-9a-f]{32}' "$work/log" | tail -n 1)
  [ -n "$found" ] || { echo "no digest in $work/log" >&2; return 1; }
  echo "${found#digest }"
}
same() {  # expected, got, what
  if [ "$1" != "$2" ]; then echo "FAILED: $3: $2, expected $1"; exit 1; fi
  echo "ok: $3: $2"
}
says() {  # text, command ...
  local text=$1
  shift
  "$@" > "$work/said" 2>&1 || true
  if ! grep -qF -- "$text" "$work/said"; then cat "$work/said"; echo "FAILED: nothing says: $text"; exit 1; fi
  echo "ok: says: $text"
}

for name in deepcam cosmo; do
  run=$work/$name.toml
  reference=$(digest 1 "$run")
  for ranks in 2 3; do same "$reference" "$(digest $ranks "$run")" "$name, $ranks ranks"; done
  # The checkpoint has the description, by which eval finds the data.
  digest 2 "$run" --set "checkpoint.dir=$work/$name" --stop-after 4 > "$work/stopped"
  same "$reference" "$(digest 3 "$run" --set "checkpoint.dir=$work/$name" --resume)" "$name, stopped"
  "$program" eval "$work/$name" --split val > "$work/said" 2>&1 || { cat "$work/said"; exit 1; }
  echo "ok: $name is evaluated"
done
if [ "$(digest 1 "$work/cosmo.toml" --set data.split_seed=4)" = "$reference" ]; then
  echo "FAILED: the seed of the splits changes nothing"
  exit 1
fi
says "12x10x16" "$program" inspect "$work/deepcam.toml"
says 'data.follow = "any"' "$program" inspect "$work/files/links/far.h5"
says "there is no dataset /fool" "$program" train "$work/cosmo-wrong.toml"
