#!/usr/bin/env bash
# Versions of datasets in the real program: ids, hashes, sidecars, resumed runs, versions that share chunks.
# Arguments: the program, scripts/mpirun.sh, versions_files.py, a work folder.
set -euo pipefail
program=$1 mpirun=$2 files=$3 work=$4
rm -rf "$work"
mkdir -p "$work"
cd "$work"
/usr/bin/python3 "$files" make .

fail() {
  echo "versions.sh: $*" >&2
  exit 1
}
# Runs a command that must end with this code, and keeps what it said in `said`.
ends() {
  local code=0 wanted=$1
  shift
  said=$("$@" 2>&1) || code=$?
  ((code == wanted)) || fail "$* ended with $code: $said"
}
says() {
  for part in "$@"; do
    [[ $said == *"$part"* ]] || fail "\"$part\" is not in: $said"
  done
}
on() { # ranks, command
  local ranks=$1
  shift
  "$mpirun" -n "$ranks" "$@"
}
id_of() { "$program" inspect "$1" | sed -n 's/^id *//p'; }
import() { # table, file, options
  local table=$1 out=$2
  shift 2
  "$program" -q import --train "$table" --out "$out" --chunk-bytes 400 "$@"
}

# The id is that of the samples.
import all.csv a.h5
import all.csv packed.h5 --deflate 4
on 3 "$program" -q import --train all.csv --out three.h5 --chunk-bytes 400
import byte.csv byte.h5
import order.csv order.h5
id=$(id_of a.h5)
((${#id} == 32)) || fail "no id: $id"
[[ $(id_of packed.h5) == "$id" ]] || fail "packing changed the id"
[[ $(id_of three.h5) == "$id" ]] || fail "ranks changed the id"
[[ $(id_of byte.h5) != "$id" ]] || fail "another byte, the same id"
[[ $(id_of order.h5) != "$id" ]] || fail "another order, the same id"
[[ $(/usr/bin/python3 "$files" figures a.h5) == "$id" ]] || fail "figures"
/usr/bin/python3 "$files" figures packed.h5 > /dev/null
ends 0 "$program" inspect a.h5 --verbose
says "import --train all.csv --out a.h5" "from    all.csv" "540 x 2" "hashes compared" "▁"

# Every hash is compared, on any number of ranks.
for ranks in 1 3; do
  ends 0 on "$ranks" "$program" inspect --check packed.h5
  says "26 chunks of 4 fields agree with their hashes, which make the id $id"
done

cat > run.toml << EOF
[data]
normalise = "none"
[model]
preset = "mlp"
hidden = 8
[train]
batch = 48
lanes = 4
steps = 13
[checkpoint]
dir = "run"
every = "5steps"
EOF
train() { # data, folder, options
  local data=$1 dir=$2
  shift 2
  "$program" train run.toml --set "data.path=$data" --set "checkpoint.dir=$dir" "$@"
}

# Damage that nothing else notices, and damage that is written as HDF5 would.

cp packed.h5 damaged.h5
/usr/bin/python3 "$files" poke damaged.h5 /train/features 260 7
ends 3 "$program" inspect --check damaged.h5
says "damaged.h5: dataset /train/features, row 250" "chunk 5 of 11"
said_alone=$(grep '^lockstep:' <<< "$said")
ends 3 on 3 "$program" inspect --check damaged.h5
says "$said_alone"
ends 3 train "$PWD/damaged.h5" damaged
says "damaged.h5" "/train/features" "chunk 5"
cp packed.h5 damaged.h5
/usr/bin/python3 "$files" flip damaged.h5 /train/label 300
ends 3 "$program" inspect --check damaged.h5
says "damaged.h5" "/train/label"
cp a.h5 damaged.h5
/usr/bin/python3 "$files" poke damaged.h5 /lockstep_hashes/train/features 3 5
ends 3 "$program" inspect --check damaged.h5
says "the hashes in dataset /lockstep_hashes/train/features are damaged"

# Other programs' files: a sidecar, the same from any number of ranks.
ends 0 "$program" inspect foreign.h5
says "have neither hashes nor checksums"
ends 0 train "$PWD/foreign.h5" plain
says "/train/x, /train/y, /val/x have neither hashes nor checksums"
on 3 "$program" inspect --seal foreign.h5 --out three.h5
"$program" inspect --seal foreign.h5
foreign=$(id_of foreign.h5)
[[ $(id_of three.h5) == "$foreign" ]] || fail "ranks changed the id of a sidecar"
[[ $(/usr/bin/python3 "$files" figures foreign.h5.lockstep.h5 foreign.h5) == "$foreign" ]] || fail "sidecar"
"$program" -q inspect --seal renamed.h5
[[ $(id_of renamed.h5) != "$foreign" ]] || fail "another name, the same id"
ends 0 on 2 "$program" inspect --check foreign.h5
says "agree with their hashes" "$foreign"
ends 0 train "$PWD/foreign.h5" sealed
[[ $said != *neither* ]] || fail "$said"
"$program" verify plain sealed > /dev/null || fail "a sidecar changed a run"
"$program" -q inspect --seal special.h5
/usr/bin/python3 "$files" figures special.h5.lockstep.h5 special.h5 > /dev/null

# A sidecar that is no longer true is not used, and it is said why.
cp -p foreign.h5 kept.h5
stale() {
  ends 0 "$program" inspect foreign.h5
  says "is not used" "$1"
  [[ $said != *"id  "* ]] || fail "a stale id: $said"
  cp -p kept.h5 foreign.h5
}
touch foreign.h5
stale "was written to since then"
printf x >> foreign.h5
stale "bytes, and had"
mv foreign.h5.lockstep.h5 saved.h5
printf x > foreign.h5.lockstep.h5
stale "not a readable HDF5 file"
cp renamed.h5.lockstep.h5 foreign.h5.lockstep.h5
stale "not all of the data's fields are in it"
mv saved.h5 foreign.h5.lockstep.h5
[[ $(id_of foreign.h5) == "$foreign" ]] || fail "the sidecar is not used"

# Many files are named by their sidecar.
ends 2 "$program" inspect --seal "$PWD/many/*.h5"
says "--out"
"$program" -q inspect --seal "$PWD/many/*.h5" --out many.h5
ends 0 "$program" inspect --check many.h5
says "406 x 5" "agree with their hashes"
ends 0 train "$PWD/many/*.h5" listed
ends 0 train "$PWD/many.h5" named
"$program" verify listed named > /dev/null || fail "a sidecar's name changed a run"
touch many/part2.h5
ends 3 train "$PWD/many.h5" touched
says "many.h5 was made for other files" "part2.h5"

# A run goes on with its own data only, unless it may go on with others.
ends 0 train "$PWD/a.h5" own
ends 0 train "$PWD/packed.h5" own --resume --set train.steps=15
ends 2 train "$PWD/byte.h5" own --resume --set train.steps=17
says "$id" "$(id_of byte.h5)" "data.accept_other"
for ranks in 1 2; do
  cp -r own "own.$ranks"
  ends 0 on "$ranks" "$program" train run.toml --resume --set "data.path=$PWD/byte.h5" \
    --set "checkpoint.dir=own.$ranks" --set train.steps=17 --set data.accept_other=true
  says "goes on with other data"
done
"$program" verify own.1 own.2 > /dev/null || fail "ranks differ on other data"
ends 0 "$program" eval own --data byte.h5 --split val
says "the model was trained on $id"
rm foreign.h5.lockstep.h5
ends 0 train "$PWD/foreign.h5" sealed --resume --set train.steps=15
says "only its splits and shapes were compared"
ends 2 train "$PWD/renamed.h5" sealed --resume --set train.steps=17 --set data.input=z
says "z f32" "x f32"

# A version that shares the chunks of the ones before it, twice.
"$program" -q import --train all.csv --val-fraction 0 --out one.h5 --chunk-bytes 400
"$program" -q import --append one.h5 --train more.csv --val-fraction 0 --test test.csv --out two.h5
on 2 "$program" -q import --append two.h5 --train last.csv --val-fraction 0 --out next.h5
ends 0 "$program" inspect next.h5
says "parent  $(id_of two.h5)" "1200 x 2" "one.h5" "two.h5" "100 x 2"
ends 0 on 2 "$program" inspect --check next.h5
says "agree with their hashes"
/usr/bin/python3 -c 'import h5py; assert h5py.File("two.h5")["train/features"].shape == (300, 2)' ||
  fail "two.h5 has more than the new samples"
for ranks in 1 3; do
  on "$ranks" "$program" -q train run.toml --set "data.path=$PWD/next.h5" \
    --set "checkpoint.dir=next.$ranks"
done
ends 0 train "$PWD/whole.h5" whole
"$program" verify next.1 next.3 > /dev/null || fail "ranks differ on a version"
"$program" verify next.1 whole > /dev/null || fail "a version is not its rows"
ends 2 "$program" import --append two.h5 --train last.csv --out one.h5 --overwrite
says "shares the chunks of one.h5"
mkdir moved
cp next.h5 moved
ends 3 "$program" inspect moved/next.h5
says "shares the samples of" "which is not there"
mkdir apart
"$program" -q import --append one.h5 --train more.csv --out apart/two.h5
ends 2 "$program" inspect apart/two.h5
says "one.h5" "follow"

# Classes keep their numbers.
import names.csv names.h5
"$program" -q import --append names.h5 --train new_names.csv --out named.h5
ends 0 "$program" inspect named.h5
says "0 blue" "1 green" "2 red" "3 violet"
ends 2 "$program" import --append names.h5 --train more.csv --out no.h5
says "the classes of label are names there, and numbers here"
