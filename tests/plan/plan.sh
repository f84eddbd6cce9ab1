#!/usr/bin/env bash
# `lockstep plan` on every file in examples/, on runs whose answer is known, and on wrong input.
# Arguments: the program, scripts/mpirun.sh, a work folder, the case, the folder of the examples' data,
# the examples.
set -euo pipefail
program=$1 mpirun=$2 work=$3 case=$4 data=$5 examples=$6
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
status=0
# shellcheck source=../failures/steps.sh
source "$here/../failures/steps.sh"
node=$here/node.toml

# The first sentence, and all of them.
answer() { head -n 1 "$out"; }
has() { grep -qE -- "$1" "$out" || fail "it does not say '$1'"; }
has_not() { ! grep -qE -- "$1" "$out" || fail "it says '$1'"; }

small=()
small_of() {  # example
  small=(--set "data.path=$data/images.h5" --set train.batch=128)
  case $(basename "$1" .toml) in
    cosmoflow) small=(--set "data.path=$data/volumes.h5" --set train.batch=8) ;;
    gpt | llama | novels) small=(--set "data.path=$data/text.h5" --set train.batch=8 --set data.sequence=64) ;;
  esac
}

case_examples() {
  local example
  for example in "$examples"/*.toml; do
    small_of "$example"
    run 0 plan "$example" "${small[@]}" --machine "$node"
    succeeds
    answer | grep -qE '^(One process is|Take [0-9]+ ranks)' || fail "$example: no answer comes first"
    has 'the bottleneck'
    echo "ok: $(basename "$example"): $(answer)"
    run 0 plan "$example" "${small[@]}"
    succeeds
    has 'bench calibrate'
    has_not 'is the bottleneck'
  done
  small_of linear
  run 0 plan "$examples/linear.toml" "${small[@]}" --machine "$node"
  has 'closed form'
  run 0 plan "$examples/quickstart.toml" "${small[@]}" --machine "$node"
  has '^One process is enough'
  has_not 'closed form'
}

# Linear regression of a table.
case_regression() {
  printf '[data]\npath = "%s"\n[model]\npreset = "linear"\nloss = "mse"\n[train]\nbatch = 32\nepochs = 40\n' \
    "$data/value.h5" > "$folder/run.toml"
  run 0 plan "$folder/run.toml" --machine "$node"
  succeeds
  answer | grep -qE '^One process is enough, and least squares takes' || fail "least squares is not named first"
  local rows
  rows=$(/usr/bin/python3 -c "import h5py, sys; print(f'{len(h5py.File(sys.argv[1])[\"train/features\"]):,}')" "$data/value.h5")
  has "$rows rows"
  echo "ok: $(answer)"
}

case_gpus() {
  run 0 plan "$examples/gpt.toml" --set "data.path=$data/text.h5" --set train.batch=8 --set data.sequence=64 \
    --machine h100,nvlink4,ib-ndr
  succeeds
  has "of a device's 74.51 GiB"
  echo "ok: $(answer)"
}

case_wrong() {
  small_of lenet
  local plan=(plan "$examples/lenet.toml" "${small[@]}")
  run 0 "${plan[@]}" --machine h101
  says 2 'h101' 'h100'
  run 0 "${plan[@]}" --machine "$folder/none.toml"
  says 2 'none\.toml'
  run 0 plan "$folder/none.toml"
  says 2 'none\.toml'
  run 0 "${plan[@]}" --machine "$node" --ranks 9
  says 2 '9 ranks' 'train\.lanes'
  run 0 "${plan[@]}" --machine "$node" --ranks 0
  says 2 'ranks'
  run 0 "${plan[@]}" --machine "$node" --ranks two
  says 2 'two'
  run 0 "${plan[@]}" --machine "$node" --within soon
  says 2 'soon'
  run 0 "${plan[@]}" --within 1h
  says 2 'within' '--machine'
  printf '[device]\nkind = "cpu"\n' > "$folder/empty.toml"
  run 0 "${plan[@]}" --machine "$folder/empty.toml"
  says 2 'empty\.toml' 'device\.fp32'
  run 0 plan "$examples/lenet.toml" --set "data.path=$folder/none.h5"
  says 2 'none\.h5'
}

# What a run with plan.machine leaves for its report.
case_record() {
  small_of lenet
  local train=(train "$examples/lenet.toml" "${small[@]}" --stop-after 1 --set "plan.machine=$node")
  run 2 "${train[@]}" --set "checkpoint.dir=$folder/run"
  succeeds
  /usr/bin/python3 - "$folder/run" << 'END' || fail "plan.json"
import json, sys
plan = json.load(open(sys.argv[1] + "/plan.json"))
assert plan["machine"] == "two cores", plan
assert abs(sum(v for k, v in plan["step"].items() if k != "hidden") / plan["step_seconds"] - 1) < 1e-6, plan
assert plan["step_seconds"] > 0 and plan["node_memory"] >= plan["rank_memory"] > 0, plan
END
  # A plan that cannot be made stops no run, and its bits are the same.
  local digest_before
  digest_before=$(digest)
  run 2 train "$examples/lenet.toml" "${small[@]}" --stop-after 1 --set plan.machine=h101 \
    --set "checkpoint.dir=$folder/other"
  succeeds
  grep -q 'warning: no plan for the report: .*h101' "$err" || fail "no warning"
  [ ! -e "$folder/other/plan.json" ] || fail "a plan that could not be made is there"
  same "$digest_before" "$(digest)" "with and without a plan"
}

# A run that is played out reports as a run does, and leaves what a report is made from.
case_simulate() {
  small_of lenet
  cp "$node" "$folder/machine.toml"
  printf '\n[reliability]\njitter = 0.03\nnode_mtbf = 1e5\nrestart = 60\n' >> "$folder/machine.toml"
  local play=(plan "$examples/lenet.toml" "${small[@]}" --machine "$folder/machine.toml" --simulate --ranks 4)
  run 0 "${play[@]}" --seed 3 --out "$folder/played"
  succeeds
  has '^Simulated: .* 4 ranks on 2 nodes, 20 steps'
  has 'waiting for ranks'
  has 'goodput'
  local first
  first=$(cat "$out")
  run 0 "${play[@]}" --seed 3
  same "$first" "$(cat "$out")" "the same seed again"
  run 0 "${play[@]}" --seed 4
  [ "$first" != "$(cat "$out")" ] || fail "another seed plays the same"
  /usr/bin/python3 - "$folder/played" << 'END' || fail "what it leaves"
import json, sys
folder = sys.argv[1]
run = json.load(open(folder + "/run.json"))
assert run["simulated"] is True and run["ranks"] == 4, run
lines = [json.loads(line) for line in open(folder + "/profile.jsonl")]
assert len(lines) == 20 and lines[-1]["step"] == 20, len(lines)
trace = json.load(open(folder + "/trace.json"))
assert {e["pid"] for e in trace["traceEvents"]} == {0, 1, 2, 3}
assert any(e.get("cat") == "backward" for e in trace["traceEvents"])
END
  run 0 report "$folder/played" --out "$folder/page.html"
  succeeds
  [ -s "$folder/page.html" ] || fail "no page"
  run 0 "${play[@]}" --out "$folder/played"
  says 2 'played'
  run 0 plan "$examples/lenet.toml" "${small[@]}" --simulate
  says 2 '--machine'
}

declare -F "case_$case" > /dev/null || { echo "no case '$case'" >&2; exit 2; }
"case_$case"
