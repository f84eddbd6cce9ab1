#!/usr/bin/env python3
"""What a checkpoint costs the steps: the same training without checkpoints, with checkpoints for which steps wait
(checkpoint.background = false), and with checkpoints written beside the steps; the three take turns in every round.

    benchmarks/checkpoints.py LOCKSTEP [--models mlp gpt2-124m] [--ranks 2] [--rounds 3] [--folder DIR]

From the time of each step (metrics.jsonl, one line a step) it adds up, after each save, what the steps until the next
save took longer than the run's median step: the time that steps stood still and went slower. That over the time of 50
steps is what an interval of 50 steps costs. Saves are nearer to each other than that where steps are long, so that a
round ends. DIR: on the disk in question (default: the system's temporary folder).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODELS = {  # run file, steps between saves, saves
    "mlp": ("""[data]
path = "{data}"
input = "x"
target = "y"
val = ""
[model]
preset = "mlp"
hidden = [1024, 1024]
[train]
batch = 128
lanes = 2
""", 50, 8),
    "gpt2-124m": ("""[data]
path = "{data}"
sequence = 256
val = ""
[model]
preset = "gpt2-124m"
[train]
batch = 8
lanes = 8
""", 5, 2),
}
WAYS = {"none": [], "waiting": ["--set=checkpoint.background=false"], "beside": ["--set=checkpoint.background=true"]}
WARM_UP = 2  # steps


def write_data(model, path):
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as f:
        if model == "mlp":
            f["train/x"] = rng.random((4096, 784), dtype=np.float32)
            f["train/y"] = rng.integers(0, 10, 4096, dtype=np.int64)
        else:
            tokens = rng.integers(0, 50257, 200_000, dtype=np.uint16)
            tokens[0] = 50256
            f["train/tokens"] = tokens


def run(arguments, model, way, folder):
    """Seconds of each step after the first few, and the saves' steps."""
    text, every, saves = MODELS[model]
    (folder / "run.toml").write_text(text.format(data=folder / "data.h5"))
    steps = every * saves + every // 2 + 1
    command = [str(ROOT / "scripts/mpirun.sh"), "-np", str(arguments.ranks), str(arguments.lockstep), "train",
               str(folder / "run.toml"), "--overwrite", "--quiet", f"--set=train.steps={steps}",
               f"--set=checkpoint.dir={folder / 'saved'}", "--set=checkpoint.keep=1", "--set=log.window=1",
               f"--set=checkpoint.every={'end' if way == 'none' else f'{every}steps'}", *WAYS[way]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    lines = [json.loads(line) for line in (folder / "saved/metrics.jsonl").read_text().splitlines()]
    at = {line["step"]: line["time"]["seconds"] for line in lines if "time" in line}
    seconds = {step: at[step] - at[step - 1] for step in range(WARM_UP + 1, steps + 1)}
    size = max(p.stat().st_size for p in (folder / "saved").glob("step-*.h5"))
    return seconds, [every * (i + 1) for i in range(saves)], size


def costs(seconds, saves):
    """Of each save: what the steps after it, up to the next, took longer than usual; and the usual step."""
    usual = statistics.median(seconds.values())
    ends = saves[1:] + [max(seconds)]
    return [sum(seconds[s] - usual for s in range(save + 1, end + 1)) for save, end in zip(saves, ends)], usual


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lockstep", type=lambda p: Path(p).resolve())
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    print(f"{arguments.ranks} ranks; load when it began: {os.getloadavg()[0]:.1f}\n")
    print("| model | checkpoint | step | a save that steps wait for | beside them | of 50 steps, waiting | of 50 steps, beside |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for model in arguments.models:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            write_data(model, folder / "data.h5")
            cost = {way: [] for way in WAYS}
            steps = []
            for _ in range(arguments.rounds):
                for way in WAYS:
                    seconds, saves, size = run(arguments, model, way, folder)
                    more, usual = costs(seconds, saves)
                    cost[way] += more
                    steps.append(usual)
            step = statistics.median(steps)
            # What a run without saves has in the same places is chance, and is taken off.
            chance = statistics.mean(cost["none"])
            waiting, beside = (statistics.median(cost[way]) - chance for way in ("waiting", "beside"))
            print(f"| {model} | {size / 1e6:.0f} MB | {step * 1e3:.0f} ms | {waiting * 1e3:.0f} ms | {beside * 1e3:.0f} ms | "
                  f"{waiting / (50 * step):.1%} | {beside / (50 * step):.1%} |", flush=True)
            print(f"  all: {({w: [round(c, 3) for c in v] for w, v in cost.items()})}", file=sys.stderr)


if __name__ == "__main__":
    main()
