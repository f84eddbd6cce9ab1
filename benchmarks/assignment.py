#!/usr/bin/env python3
"""What assignment = adaptive and queue bring where a rank is slow: two ranks, each on a core of its own, and two
outside processes that keep the second rank's core busy. The three kinds run in turns; the figure is the median of
the ratios to static of the same round, and all digests must be equal.

    benchmarks/assignment.py run.toml [--rounds 5] [--steps 60] [--busy 2] [--nodes 2] [--set model.hidden=[1500,1500]]

For an otherwise idle machine. The run should have 8 lanes, and steps that take much longer than the scheduler's turns (some 10 ms).
LOCKSTEP names the program. With --busy 0: what the two kinds cost where all ranks are equal. With --nodes 2 each rank is a
pretended node of its own, whose lanes move at the edges of windows (--set data.window=...): the second window's end is the first
chance, so let there be many in a run. The queue stays on its node and is left out.
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
KINDS = ["static", "adaptive", "queue"]
PINNED = 'exec taskset -c "$OMPI_COMM_WORLD_LOCAL_RANK" "$@"'


def run(kind, arguments):
    """Samples per second, digest and the report's line of lanes of one run."""
    command = [str(ROOT / "scripts/mpirun.sh"), "-np", "2", "bash", "-c", PINNED, "pinned", PROGRAM, "train", arguments.run,
               "--set", "checkpoint.dir=", "--set", f"assignment.kind={kind}", "--set", f"train.steps={arguments.steps}"]
    if arguments.nodes == 2:
        command += ["--set", "parallel.pretend_nodes=0,1"]
    for setting in arguments.set:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    said = done.stdout + done.stderr
    rate = re.findall(r"([0-9][0-9.,]*) samples/s", said)[-1].replace(",", "")
    lanes = re.search(r"lanes: .*", said)
    return float(rate), re.search(r"digest ([0-9a-f]{32})", said).group(1), lanes.group(0) if lanes else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=1, choices=[1, 2])
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    kinds = KINDS if arguments.nodes == 1 else KINDS[:2]
    # Sessions of their own: the scheduler may share a core by session first (sched_autogroup).
    busy = [subprocess.Popen(["taskset", "-c", "1", sys.executable, "-c", "while True: pass"], start_new_session=True)
            for _ in range(arguments.busy)]
    ratios, digests = {kind: [] for kind in kinds}, set()
    try:
        for turn in range(arguments.rounds):
            rates = {}
            first = turn % len(kinds)
            for kind in kinds[first:] + kinds[:first]:
                rates[kind], digest, lanes = run(kind, arguments)
                digests.add(digest)
                print(f"round {turn + 1}: {kind:8} {rates[kind]:10.1f} samples/s  {lanes}", flush=True)
            for kind in kinds:
                ratios[kind].append(rates[kind] / rates["static"])
    finally:
        for process in busy:
            process.kill()
            process.wait()
    for kind in kinds[1:]:
        least, most = min(ratios[kind]), max(ratios[kind])
        print(f"{kind}: {statistics.median(ratios[kind]):.2f} times static ({least:.2f} to {most:.2f})")
    print("digests: " + ("all the same" if len(digests) == 1 else f"DIFFERENT: {sorted(digests)}"))
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
