#!/usr/bin/env python3
"""What an order costs: data.shuffle = none, window and full beside each other, in turns. Printed are the medians of
milliseconds a step and of the seconds that a rank waited for data, and what full adds to a step of window in the same round;
at the start full also reads the whole split, which is not in these figures.

    benchmarks/order.py run.toml [--rounds 5] [--steps 200] [--ranks 2] [--nodes 0,1] [--set model.hidden=[10]]

For an otherwise idle machine. --nodes: pretended nodes of the ranks; with 0,1 each rank has half of the samples and gets the
rest by message, with 0,0 all are copies. With a small model the figure is that of the data alone. LOCKSTEP names the program.
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("LOCKSTEP", str(ROOT / "build/bin/lockstep"))
ORDERS = ["none", "window", "full"]


def run(order, arguments):
    """Milliseconds a step, milliseconds of it that data were awaited, and bytes in messages a step."""
    command = [str(ROOT / "scripts/mpirun.sh"), "-np", str(arguments.ranks), PROGRAM, "train", arguments.run,
               "--set", "checkpoint.dir=", "--set", "data.val=", "--set", f"data.shuffle={order}",
               "--set", f"train.steps={arguments.steps}"]
    if arguments.nodes:
        command += ["--set", f"parallel.pretend_nodes={arguments.nodes}"]
    for setting in arguments.set:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    said = done.stdout + done.stderr

    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}

    def mean(row):  # of least, mean and largest over the ranks
        found = re.search(rf"^ *{row} +[0-9.]+(?: [a-z]+)? +([0-9.]+) ?([a-z]*)", said, re.M)
        return float(found.group(1)) * units.get(found.group(2), 1.0)

    total, waited = mean("total"), mean("waiting for data")
    return 1e3 * total / arguments.steps, 1e3 * waited / arguments.steps, mean("bytes in messages") / arguments.steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--nodes", default="0,1")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    figures = {order: [] for order in ORDERS}
    for turn in range(arguments.rounds):
        first = turn % len(ORDERS)
        for order in ORDERS[first:] + ORDERS[:first]:
            figures[order].append(run(order, arguments))
            step, waited, sent = figures[order][-1]
            print(f"round {turn + 1}: {order:7} {step:9.3f} ms a step, {waited:7.3f} ms waiting for data, {sent:12,.0f} bytes sent",
                  flush=True)
    for order in ORDERS:
        step, waited, sent = (statistics.median(column) for column in zip(*figures[order]))
        print(f"{order:7} {step:9.3f} ms a step, {waited:7.3f} ms waiting for data, {sent:12,.0f} bytes sent")
    more = [full[0] - window[0] for full, window in zip(figures["full"], figures["window"])]
    print(f"full adds {statistics.median(more):.3f} ms to a step of window ({min(more):.3f} to {max(more):.3f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
