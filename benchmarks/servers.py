#!/usr/bin/env python3
"""Parameter servers whose workers do not wait (bounded, async) beside those that do (sync): accuracy after equally many
samples, for several seeds, and the time it took while outside processes keep one worker's core busy.

    benchmarks/servers.py run.toml [--seeds 1 2 3] [--epochs 5] [--busy 2] [--set train.batch=256]

Three ranks: workers on cores 0 and 1, the server on both. The busy processes are on core 1. For an otherwise idle machine;
the run needs a split to evaluate (data.val) with accuracy. LOCKSTEP names the program.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("LOCKSTEP", str(ROOT / "build/bin/lockstep"))
MODES = ["sync", "bounded", "async"]
# Ranks are workers first; the last one is the server.
PINNED = 'cores=(0 1 0,1); exec taskset -c "${cores[OMPI_COMM_WORLD_LOCAL_RANK]}" "$@"'


def run(mode, seed, arguments):
    """Accuracy in percent after the last epoch, seconds of training, and what the run said of its tickets."""
    with tempfile.TemporaryDirectory() as folder:
        keys = ["parallel.strategy=server", "parallel.servers=1", f"parallel.mode={mode}", f"train.seed={seed}",
                f"train.epochs={arguments.epochs}", f"checkpoint.dir={folder}/run", *arguments.set]
        command = [str(ROOT / "scripts/mpirun.sh"), "-np", "3", "--bind-to", "none", "bash", "-c", PINNED, "pinned", PROGRAM,
                   "train", arguments.run, *(word for key in keys for word in ("--set", key))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        lines = [json.loads(line) for line in (pathlib.Path(folder) / "run/metrics.jsonl").open()]
    last = [line for line in lines if "split" in line][-1]
    told = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "stale" in line]
    return 100 * last["accuracy"], last["time"]["seconds"], told[-1] if told else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    # Sessions of their own: the scheduler may share a core by session first (sched_autogroup).
    busy = [subprocess.Popen(["taskset", "-c", "1", sys.executable, "-c", "while True: pass"], start_new_session=True)
            for _ in range(arguments.busy)]
    results = {mode: [] for mode in MODES}
    try:
        for seed in arguments.seeds:
            for mode in MODES:
                results[mode].append(run(mode, seed, arguments))
                accuracy, seconds, told = results[mode][-1]
                print(f"seed {seed}: {mode:8} {accuracy:6.2f} %  {seconds:7.1f} s  {told}", flush=True)
    finally:
        for process in busy:
            process.kill()
    print(f"\n{arguments.busy} busy processes beside the second worker, {arguments.epochs} epochs, seeds {arguments.seeds}\n")
    print("| mode | accuracy, % (mean) | difference to sync | seconds | sync's time / this |")
    print("| --- | ---: | ---: | ---: | ---: |")
    sync = results["sync"]
    for mode, runs in results.items():
        accuracy = statistics.mean(r[0] for r in runs)
        faster = statistics.median(s[1] / r[1] for s, r in zip(sync, runs))
        print(f"| {mode} | {accuracy:.2f} | {accuracy - statistics.mean(s[0] for s in sync):+.2f} | "
              f"{statistics.median(r[1] for r in runs):.1f} | {faster:.2f} |")


if __name__ == "__main__":
    main()
