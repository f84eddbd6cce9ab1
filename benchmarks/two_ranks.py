#!/usr/bin/env python3
"""Speed-up of two ranks over one, lanes = 8: whole steps of bench_step, alternated in one run, medians.

    benchmarks/two_ranks.py [build/benchmarks/bench_step] [--rounds 9] [--ranks 2]
"""
import argparse
import pathlib
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Ranks:
    def __init__(self, program, model, ranks):
        self.process = subprocess.Popen([ROOT / "scripts/mpirun.sh", "-np", str(ranks), program, model, "8", "128"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds_per_step(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline().split()[0])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", nargs="?", default=str(ROOT / "build/benchmarks/bench_step"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ranks", type=int, default=2)
    arguments = parser.parse_args()
    for model, steps in (("resnet20", 3), ("mlp", 20)):
        times = {1: [], arguments.ranks: []}
        # Waiting ranks would take the core of the others, so each round starts its own.
        for _ in range(arguments.rounds):
            for ranks in times:
                bench = Ranks(arguments.program, model, ranks)
                bench.seconds_per_step(steps)  # warms up
                times[ranks].append(bench.seconds_per_step(steps))
                bench.close()
        one, many = (statistics.median(times[r]) for r in (1, arguments.ranks))
        print(f"{model}: 1 rank {one * 1e3:.2f} ms, {arguments.ranks} ranks {many * 1e3:.2f} ms, speed-up {one / many:.2f}",
              flush=True)


if __name__ == "__main__":
    main()
