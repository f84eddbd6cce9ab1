#!/usr/bin/env python3
"""Predicted against measured time of a step's compute, by model, lanes and ranks, as a table of docs/planning.md.

    benchmarks/costs.py BUILD [--machine FILE] [--models mlp lenet ...] [--rounds 3] [--kinds]

BUILD is a build folder. Without --machine the rates are measured first, by as many ranks as each row has, into a
temporary file. Every row is taken --rounds times, in turn with the others, and the median is shown: a machine that
others use too is not equally quick all the time. --kinds: a row for every kind of op too.
"""
import argparse
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Model, lanes, batch, precision.
ROWS = [("mlp", 1, 128, "fp32"), ("mlp", 8, 128, "fp32"), ("lenet", 1, 128, "fp32"), ("lenet", 8, 128, "fp32"),
        ("resnet20", 1, 128, "fp32"), ("resnet20", 8, 128, "fp32"), ("gpt", 1, 1, "fp32"), ("gpt", 8, 8, "fp32"),
        ("llama", 8, 8, "fp32"), ("cosmoflow", 2, 2, "fp32"), ("mlp", 8, 128, "bf16"), ("resnet20", 8, 128, "bf16"),
        ("gpt", 8, 8, "bf16")]


def under(ranks):
    return [] if ranks == 1 else [str(ROOT / "scripts/mpirun.sh"), "-np", str(ranks)]


def run(ranks, *words):
    return subprocess.run(under(ranks) + [str(w) for w in words], check=True, capture_output=True, text=True).stdout


def figures(text):
    """Kind -> predicted and measured microseconds of a microbatch (update: of a step)."""
    kinds = {}
    for line in text.splitlines():
        name, *numbers = line.rsplit(maxsplit=5)
        forward, took_forward, backward, took_backward, _ = (float(n) for n in numbers)
        kinds[name.strip()] = (forward + backward, took_forward + took_backward)
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--machine")
    parser.add_argument("--models", nargs="*")
    parser.add_argument("--ranks", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", action="store_true")
    options = parser.parse_args()
    program = options.build / "benchmarks/bench_costs"
    rows = [r for r in ROWS if not options.models or r[0] in options.models]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        machines = {}
        for ranks in options.ranks:
            machines[ranks] = options.machine or f"{folder}/rates{ranks}.toml"
            if not options.machine:
                run(ranks, program, machines[ranks], "measure")
        for _ in range(options.rounds):
            for ranks in options.ranks:
                for row in rows:
                    if row[1] < ranks:
                        continue
                    for kind, pair in figures(run(ranks, program, machines[ranks], *row)).items():
                        found.setdefault((row, ranks, kind), []).append(pair)
    print("| model | lanes | batch | precision | ranks | | predicted, us | measured, us | off by |")
    print("| --- | ---: | ---: | --- | ---: | --- | ---: | ---: | ---: |")
    for (row, ranks, kind), pairs in found.items():
        if kind not in ("all", "update") and not options.kinds:
            continue
        predicted, measured = (statistics.median(p[i] for p in pairs) for i in (0, 1))
        what = {"all": "a microbatch", "update": "the update"}.get(kind, kind)
        off = f"{predicted / measured - 1:+.0%}" if measured else "-"
        print(f"| {' | '.join(str(w) for w in row)} | {ranks} | {what} | {predicted:.0f} | {measured:.0f} | {off} |")


if __name__ == "__main__":
    main()
