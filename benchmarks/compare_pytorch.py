#!/usr/bin/env python3
"""Whole training steps (forward, backward, AdamW) against PyTorch on one core and on two.

    benchmarks/compare_pytorch.py [--python /path/to/python ...] [--models mlp,gpt] [--rounds 9] [--page FILE]

Each --python is one with PyTorch; default: the one that runs this. For every model the settings of each are
searched (compile, layout, AdamW's form, oneDNN, kernels of OpenBLAS) and the best of all is the one that counts.
Both programs are alternated in one run; medians of the rounds. --page writes the results as Markdown.
"""
import argparse
import functools
import os
import pathlib
import statistics
import sys
import tempfile
import time

import performance_page
import start_and_memory
from contestants import DEFAULTS, ROOT, Lockstep, Torch, least_time, search, shown

# name: (batch, lanes of the second column, whether it has convolutions)
MODELS = {"mlp": (128, 8, False), "resnet20": (128, 8, True), "gpt": (8, 8, False), "gpt2-124m": (4, 4, False),
          "cosmoflow": (2, 2, True)}
# Least ratio to the best PyTorch (fp32), and least part of the FMA peak of fp32 in percent: one core, one lane.
GOALS = {("mlp", "fp32"): (1.5, None), ("resnet20", "fp32"): (1.8, 75), ("gpt", "fp32"): (1.4, 85),
         ("gpt2-124m", "fp32"): (1.5, 80), ("cosmoflow", "fp32"): (1.6, 70), ("gpt", "bf16"): (2.2, 120)}


def alternate(contestants, rounds):
    """Median seconds of each; the first round warms up."""
    times = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant.warm_up()
    for _ in range(rounds):
        for name, contestant in contestants.items():
            time.sleep(0.05)  # threads that wait in a loop come to rest
            times[name].append(contestant.time())
    return {name: statistics.median(values) for name, values in times.items()}


def one_core(arguments, model, precision, found, core):
    """A row of the table: ours with one lane and several; PyTorch at the best of each version, and as it comes."""
    batch, lanes, _ = MODELS[model]
    plain = {python: next(s for settings, s in tried if settings == DEFAULTS) for python, tried in found.items()}
    make = {"ours1": functools.partial(Lockstep, arguments.program, model, 1, batch, precision, core),
            "ours": functools.partial(Lockstep, arguments.program, model, lanes, batch, precision, core),
            "plain": functools.partial(Torch, min(plain, key=plain.get), model, batch, DEFAULTS, core)}
    peers = {f"best of {python}": tried[-1][0] for python, tried in found.items()}
    for name, (python, tried) in zip(peers, found.items()):
        make[name] = functools.partial(Torch, python, model, batch, tried[-1][0], core)
    if precision == "bf16":  # beside PyTorch's best in fp32, its own bf16
        ways = [functools.partial(way, precision="bf16") for name, way in make.items() if name in peers]
        timed = [(seconds, way) for way in ways if (seconds := least_time(way)) is not None]
        if timed:
            make["autocast"] = min(timed, key=lambda entry: entry[0])[1]
    contestants = {}
    try:
        for name, way in make.items():
            contestants[name] = way()
        seconds = alternate(contestants, arguments.rounds)
        best = min(["plain", *peers], key=seconds.get)
        ours, torch = contestants["ours1"], contestants[best]
        return {"model": model, "precision": precision, "batch": batch, "lanes": lanes,
                "flop": ours.gflops * ours.last, "peak": ours.gflops / ours.of_peak,
                "seconds": {**seconds, "best": seconds[best]}, "goal": GOALS.get((model, precision), (None, None)),
                "memory": {"ours1": ours.peak_memory(), "ours": contestants["ours"].peak_memory(),
                           "best": torch.peak_memory()},
                "autocast": contestants["autocast"].version if "autocast" in contestants else None,
                "best": f"{torch.version}, {shown(peers.get(best, DEFAULTS))}"}
    finally:
        for contestant in contestants.values():
            contestant.close()


def two_cores(arguments, row, found, cores):
    """Two ranks of ours against two threads, or two processes, of PyTorch; and against one rank."""
    model, batch, lanes = row["model"], row["batch"], row["lanes"]
    ways = []
    for python, tried in found.items():
        for threads, ranks in ((2, 1), (1, 2)):
            settings = tried[-1][0] if ranks == 1 else {**tried[-1][0], "compile": "no"}
            make = functools.partial(Torch, python, model, batch, settings, cores, threads, ranks)
            seconds = least_time(make)
            if seconds is not None:
                name = f"{ranks} processes (DDP, gloo)" if ranks > 1 else f"{threads} threads"
                ways.append((seconds, f"{name}, {shown(settings)}", make))
                print(f"    {python} {name}: {seconds * 1e3:.1f} ms", flush=True)
    _, name, make = min(ways, key=lambda way: way[0])
    times = {"one": [], "two": [], "torch": []}
    torch = make()
    torch.warm_up()
    version = torch.version
    for _ in range(arguments.rounds):
        # A rank that waits takes turns with whoever computes, so each round starts its own.
        for key, ranks in (("one", 1), ("two", 2)):
            ours = Lockstep(arguments.program, model, lanes, batch, row["precision"], cores, ranks)
            ours.warm_up()
            times[key].append(ours.time())
            ours.close()
        times["torch"].append(torch.time())
    torch.close()
    return {"model": model, "precision": row["precision"], "lanes": lanes, "best": f"{version}, {name}",
            **{key: statistics.median(values) for key, values in times.items()}}


def write_page(file, text):
    """Figures anew; what people wrote below them about what falls short stays."""
    notes = "\n## What falls short"
    old = file.read_text() if file.exists() else ""
    file.write_text(text + (old[old.index(notes):] if notes in old else ""))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/benchmarks/bench_step"))
    parser.add_argument("--lockstep", default=str(ROOT / "build/bin/lockstep"))
    parser.add_argument("--python", action="append", help="a python with PyTorch; may be given several times")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="2 rounds, fewer settings, no compile")
    parser.add_argument("--one-core", action="store_true", help="leave out the part on two cores")
    parser.add_argument("--page", help="write the results here, as Markdown")
    arguments = parser.parse_args()
    arguments.python = arguments.python or [sys.executable]
    if arguments.quick:
        arguments.rounds = min(arguments.rounds, 2)
    return arguments


def main():
    arguments = parse()
    cores = sorted(os.sched_getaffinity(0))[:2]
    result = {"rows": [], "two": [], "searches": {}, "load": os.getloadavg()[0]}
    for model in arguments.models.split(","):
        batch, _, convolutions = MODELS[model]
        found = {}
        for python in arguments.python:
            print(f"{model}: settings of {python}", flush=True)
            found[python] = search(python, model, batch, convolutions, {cores[0]}, times=1 if arguments.quick else 3,
                                   quick=arguments.quick)
        found = {python: tried for python, tried in found.items() if tried}
        if not found:
            sys.exit(f"compare_pytorch.py: none of {', '.join(arguments.python)} runs {model} with PyTorch")
        result["searches"][model] = found
        for precision in ("fp32", "bf16") if model == "gpt" else ("fp32",):
            row = one_core(arguments, model, precision, found, {cores[0]})
            result["rows"].append(row)
            print(performance_page.line(row), flush=True)
            if len(cores) > 1 and not arguments.one_core:
                result["two"].append(two_cores(arguments, row, found, set(cores)))
                print(performance_page.two_line(result["two"][-1]), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result["start"] = start_and_memory.start(arguments, pathlib.Path(folder), {cores[0]})
    result["bound"] = start_and_memory.mlp_bound(cores[0])
    text = performance_page.page(result, arguments)
    if arguments.page:
        write_page(pathlib.Path(arguments.page), text)
    else:
        print(text)


if __name__ == "__main__":
    sys.exit(main())
