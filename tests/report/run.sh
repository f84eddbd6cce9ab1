#!/usr/bin/env bash
# What real runs leave for their report: through a stop, a resume and another number of ranks. Then
# their page. Arguments: the program, scripts/mpirun.sh, a work folder.
set -euo pipefail
program=$1 mpirun=$2 work=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rm -rf "$work"
mkdir -p "$work"
cd "$work"
/usr/bin/python3 "$here/../contract/make_idx.py" .
"$program" -q import --format idx --out small.h5 --train images.idx labels.idx

train() {  # ranks, folder, arguments
  local ranks=$1 folder=$2
  shift 2
  "$mpirun" -np "$ranks" "$program" train "$here/../contract/mlp.toml" --set data.path=small.h5 \
    --set "checkpoint.dir=$folder" --set checkpoint.every=20steps "$@" >> "$folder.log" 2>&1 ||
    { tail -n 20 "$folder.log"; exit 1; }
}
train 1 straight
train 2 stopped --stop-after 33
cp -r stopped before
train 3 stopped --resume
"$program" report straight stopped --out both.html
/usr/bin/python3 - << 'EOF'
import json
import re


def read(folder):
    lines = [json.loads(line) for line in open(f"{folder}/profile.jsonl")]
    return json.load(open(f"{folder}/run.json")), lines


def digest(folder):
    return re.findall(r"^digest (\w+) after step 50", open(f"{folder}.log").read(), re.M)[-1]


for folder, ranks in (("straight", 1), ("stopped", 3)):
    record, lines = read(folder)
    assert record["ranks"] == ranks and record["ending"] == "done" and record["ended"] >= record["started"], record
    assert record["digest"] == digest(folder) and record["digest_step"] == record["steps"] == 50, record
    assert len(record["peak_memory"]) == len(record["hosts"]) == ranks and min(record["peak_memory"]) > 1e6
    assert record["batch"] == 48 and "hidden = [67, 33]" in record["run"] and record["parameters"] > 0
    ledger = {row["name"]: row["bytes"] for row in record["ledger"]}
    assert ledger["program and libraries"] > 1e6 and len(ledger) >= 4, ledger
    # Windows follow each other without gap or overlap.
    step = 0
    for line in lines:
        assert line["step"] == step + line["steps"], (folder, step, line)
        step = line["step"]
        assert line["positions"] == list(range(len(line["positions"])))
        for rank in line["positions"]:
            parts = sum(values[rank] for phase, values in line["phases"].items() if phase != "hidden")
            assert 0.9 * parts <= line["seconds"] + 1e-6, line
        assert min(line["bytes"]["memory"]) > 1e6
    assert step == 50, (folder, step)
assert digest("straight") == digest("stopped")
record, lines = read("before")
assert record["ending"] == "--stop-after" and record["digest_step"] == 33 and lines[-1]["step"] == 33, record
# A resumed run keeps the lines of its first attempt, and when it first started.
assert read("stopped")[1][:len(lines)] == lines and read("stopped")[0]["started"] == record["started"]
page = open("both.html").read()
assert "on 1 and 3 ranks: the same bits" in page and digest("straight") in page
print("ok: run.json and profile.jsonl")
EOF
# A killed run's lines behind its checkpoint are of no run that goes on.
printf '{"step":47,"steps":7,"seconds":1,"at":1,"positions":[0],"phases":{},"bytes":{}}\n{"st' >> before/profile.jsonl
train 2 before --resume
tail -n 1 before/profile.jsonl | grep -q '"step":50' || { echo "FAILED: lines of an earlier attempt"; exit 1; }
[ "$(grep -c '"step":47' before/profile.jsonl)" -le 1 ] || { echo "FAILED: a line twice"; exit 1; }
if grep -q '"phases":{}' before/profile.jsonl; then echo "FAILED: a line of an earlier attempt is there"; exit 1; fi
echo "ok: resumed"
