#!/usr/bin/env python3
"""`lockstep plan` against what happens: predicts memory and step of an MLP, a CNN and a gpt, replicated and sharded,
then trains each for some seconds and measures both.

    benchmarks/predictions.py LOCKSTEP [--machine FILE] [--models mlp cnn gpt] [--ranks 1 2] [--more-ranks 4 8]
                              [--seconds 6] [--rounds 2] [--page docs/planning.md]

Without --machine this machine is measured first (lockstep bench calibrate). Step: seconds between the first and the
last, by the run's own end report, over the number of steps; of several rounds the shortest, for what else runs on the
machine only ever adds to it. Memory: PSS of all ranks while they step, at most. More ranks than cores (--more-ranks)
are started for their memory alone. --page: writes the tables below the page's heading of them.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from memory import ROOT, pss, ranks_of

WAYS = {"replicated": [], "stage 1": ["sharded", "1"], "stage 3": ["sharded", "3"]}
HEADING = "## Prediction against measurement"
MODELS = {  # the run file's sections
    "mlp": """[model]
preset = "mlp"
hidden = [1024, 1024]
[train]
batch = 256
lanes = 8
""",
    "cnn": """[model]
preset = "resnet20"
[train]
batch = 128
lanes = 8
""",
    "gpt": """[data]
sequence = 128
[model]
preset = "gpt"
blocks = 4
embedding = 256
heads = 8
[train]
batch = 16
lanes = 8
""",
}
NAMES = {"mlp": "MLP 784-1024-1024-10, batch 256", "cnn": "resnet20, 32 x 32 x 3, batch 128",
         "gpt": "gpt, 4 blocks of 256, 16 x 128 tokens"}


def write_run(folder, model):
    rng = np.random.default_rng(1)
    with h5py.File(folder / "data.h5", "w") as f:
        if model == "gpt":
            f["train/tokens"] = rng.integers(0, 1024, 200_000, dtype=np.uint16)
            f["train/tokens"][0] = 1023
        else:
            shape = (784,) if model == "mlp" else (32, 32, 3)
            f["train/x"] = rng.random((4096, *shape), dtype=np.float32)
            f["train/y"] = rng.integers(0, 10, 4096, dtype=np.int64)
    data = f'path = "{folder / "data.h5"}"\nval = ""\n' + ("" if model == "gpt" else 'input = "x"\ntarget = "y"\n')
    text = MODELS[model]
    text = text.replace("[data]\n", "[data]\n" + data) if "[data]" in text else "[data]\n" + data + text
    (folder / "run.toml").write_text(text)


def settings(way):
    return [f"--set=parallel.strategy={way[0]}", f"--set=parallel.stage={way[1]}"] if way else []


def call(command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(c) for c in command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def plan(arguments, folder, ranks):
    """By (ranks, way): the plan's layout."""
    call([arguments.lockstep, "plan", folder / "run.toml", "--machine", arguments.machine, "--ranks",
          ",".join(str(r) for r in ranks), "--ranks-per-node", max(ranks), "--json", folder / "plan.json"])
    layouts = json.loads((folder / "plan.json").read_text())["layouts"]
    return {(layout["ranks"], layout["strategy"]): layout for layout in layouts}


def seconds(text):
    """'812.3 us', '1.2 ms', '3.4 s', '1 min 05 s'"""
    total, units = 0.0, {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}
    for number, unit in re.findall(r"([\d.]+) (us|ms|min|s|h)\b", text):
        total += float(number) * units[unit]
    return total


def row(text, name):
    """The mean of a row of the end report, whose columns are least, mean and most."""
    found = re.findall(rf"^  {re.escape(name)} +(\d.*)$", text, re.M)
    columns = re.findall(r"\d+ min \d+ s|[\d.]+ (?:us|ms|s)\b", found[-1])
    return seconds(columns[1])


def train(arguments, folder, ranks, way, steps):
    launcher = [ROOT / "scripts/mpirun.sh", "-np", str(ranks)] if ranks > 1 else []
    command = [*launcher, arguments.lockstep, "train", folder / "run.toml", f"--set=train.steps={steps}",
               *settings(WAYS[way])]
    environment = dict(os.environ, TMPDIR=str(folder))
    output, most = folder / "output.txt", 0
    with open(output, "w") as to:
        process = subprocess.Popen([str(c) for c in command], env=environment, stdout=to, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, sum(pss(pid) for pid in ranks_of(process.pid)))
            time.sleep(0.25)
    text = output.read_text()
    if process.returncode != 0:
        sys.exit(f"{' '.join(str(c) for c in command)}\n{text[-3000:]}")
    stepping = row(text, "total") - row(text, "other")
    phases = {"compute": "compute", "fold": "folding", "exposed": "waiting for ranks", "data": "waiting for data"}
    return {"step": stepping / steps, "memory": most, **{k: row(text, name) / steps for k, name in phases.items()}}


def off(predicted, measured):
    return f"{100 * (predicted / measured - 1):+.0f} %"


def ms(x):
    return f"{1e3 * x:.1f}"


def measure(arguments, model, steps_table, memory_table):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder, model)
        layouts = plan(arguments, folder, sorted({*arguments.ranks, *arguments.more_ranks}))
        for ranks in [*arguments.ranks, *arguments.more_ranks]:
            for way in WAYS:
                layout = layouts[ranks, way]
                timed = ranks in arguments.ranks
                predicted = layout["step_seconds"]
                wanted = arguments.seconds if timed else 1.5
                steps = max(8, round(wanted / predicted["total"]))
                rounds = [train(arguments, folder, ranks, way, steps) for _ in range(arguments.rounds if timed else 1)]
                best, most = min(rounds, key=lambda r: r["step"]), max(r["memory"] for r in rounds)
                if timed:
                    pairs = " | ".join(f"{ms(predicted[k])}, {ms(best[k])}" for k in ("compute", "fold", "exposed", "data"))
                    steps_table.append(f"| {NAMES[model]} | {ranks} | {way} | {ms(predicted['total'])} | {ms(best['step'])} | "
                                       f"{off(predicted['total'], best['step'])} | {pairs} |")
                    print(steps_table[-1], flush=True)
                memory_table.append(f"| {NAMES[model]} | {ranks} | {way} | {layout['node_bytes'] / 2**20:.0f} | "
                                    f"{most / 2**20:.0f} | {off(layout['node_bytes'], most)} |")
                print(memory_table[-1], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lockstep", type=lambda p: Path(p).resolve())
    parser.add_argument("--machine")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--more-ranks", type=int, nargs="*", default=[4, 8])
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        if not arguments.machine:
            arguments.machine = str(Path(name) / "machine.toml")
            call([ROOT / "scripts/mpirun.sh", "-np", max(arguments.ranks), arguments.lockstep, "bench", "calibrate", "--out",
                  arguments.machine])
        steps = ["| run | ranks | | predicted, ms | measured, ms | off | compute | adding | waiting for ranks | for data |",
                 "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        memory = ["| run | ranks | | predicted, MiB | measured, MiB | off |", "| --- | ---: | --- | ---: | ---: | ---: |"]
        for model in arguments.models:
            measure(arguments, model, steps, memory)
    text = (f"By `benchmarks/predictions.py`, {time.strftime('%Y-%m-%d')}, on {os.cpu_count()} cores, load {load:.1f} when it "
            f"began.\nPhases: predicted, measured, in ms of a step.\n\n" + "\n".join(steps) +
            "\n\nMemory of the node, all ranks together: the sum of the planned ledgers, and PSS.\n\n" + "\n".join(memory) + "\n")
    print("\n" + text)
    if arguments.page:
        before = arguments.page.read_text().split(HEADING)[0].rstrip("\n")
        arguments.page.write_text(f"{before}\n\n{HEADING}\n\n{text}")


if __name__ == "__main__":
    main()
