#!/usr/bin/env python3
"""The same training on two hosts with a slow link between them, once for each way of sharing the work: what crosses
the link per step, how long a step takes, and the loss after all of them, as a Markdown table.

  benchmarks/links.py run.toml --rate 1000 --rate 100
  benchmarks/links.py run.toml --try "two levels" --try "small buckets: parallel.bucket_bytes=65536"

The hosts are those of tests/net/two_hosts.sh: namespaces of this machine, so all ranks share its cores. Needs root,
or user namespaces. Bytes are the interface's own counters, headers and acknowledgements included."""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is tried unless --try says otherwise: a name, and the keys that differ from the run file's.
TRIED = {
    "two levels": [],
    "flat": ["parallel.pretend_nodes={each_rank_a_node}"],
}
WINDOWS = 10  # a run's steps are timed in so many pieces; the first is left out

COUNTED = 'ip -json -stats link show wire && "$@" > "$LINKS_LOG" 2>&1 && ip -json -stats link show wire'


def tried(text):
    name, _, keys = text.partition(":")
    return name.strip(), keys.split() if keys else TRIED.get(name.strip(), [])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run file; its data must be there")
    parser.add_argument("--rate", type=int, action="append", help="of the link, in Mbit/s (1000; may be repeated)")
    parser.add_argument("--try", dest="tried", type=tried, action="append", metavar='"NAME: KEY=VALUE ..."',
                        help="instead of the built-in list: " + ", ".join(TRIED))
    parser.add_argument("--set", dest="keys", action="append", default=[], metavar="KEY=VALUE", help="in all of them")
    parser.add_argument("--ranks", type=int, default=4, help="half of them on each host")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="times that each is run; medians count")
    parser.add_argument("--lockstep", default=ROOT / "build/bin/lockstep")
    arguments = parser.parse_args()
    if arguments.ranks % 2 or arguments.steps < 2 * WINDOWS:
        parser.error(f"--ranks must be even, and --steps at least {2 * WINDOWS}")
    return arguments


def crossed(report):
    """Bytes that have gone from host-a to host-b, and the other way."""
    counters = json.loads(report)[0]["stats64"]
    return counters["tx"]["bytes"], counters["rx"]["bytes"]


def train(arguments, rate, keys, steps):
    """One run: bytes in each direction, seconds a step of each window, last loss, start of the digest."""
    half = arguments.ranks // 2
    with tempfile.TemporaryDirectory() as folder:
        settings = [*keys, *arguments.keys, f"checkpoint.dir={folder}/run", "train.evaluate_every=0",
                    f"log.window={arguments.steps // WINDOWS}"]
        settings = [s.format(each_rank_a_node=",".join(map(str, range(arguments.ranks)))) for s in settings]
        command = [ROOT / "tests/net/two_hosts.sh", rate, "bash", "-c", COUNTED, "counted", ROOT / "scripts/mpirun.sh",
                   "--host", f"host-a:{half},host-b:{half}", "-np", arguments.ranks, arguments.lockstep, "train",
                   arguments.run, "--stop-after", steps, *(word for s in settings for word in ("--set", s))]
        log = pathlib.Path(folder) / "log"
        done = subprocess.run(list(map(str, command)), env={**os.environ, "LINKS_LOG": str(log)},
                              stdout=subprocess.PIPE, text=True)
        said = log.read_text() if log.exists() else ""
        if done.returncode:
            sys.exit(f"links.py: a run with {' '.join(keys) or 'no other keys'} failed\n{said}")
        before, after = map(crossed, done.stdout.strip().splitlines())
        lines = [json.loads(line) for line in (pathlib.Path(folder) / "run/metrics.jsonl").open()]
    lines = [line for line in lines if "loss" in line and "time" in line]
    # Steps that are reported together, at a meeting of local replicas, were over at one time: the last of them counts.
    ends = [a for a, b in zip(lines, lines[1:] + [None]) if b is None or b["time"]["seconds"] > a["time"]["seconds"]]
    windows = [(b["time"]["seconds"] - a["time"]["seconds"]) / (b["step"] - a["step"]) for a, b in zip(ends, ends[1:])]
    digest = re.search(r"^digest ([0-9a-f]{8})", said, re.MULTILINE)
    return [b - a for a, b in zip(before, after)], windows, lines[-1]["loss"], digest[1] if digest else "none"


def measure(arguments, rate, choices):
    # Start and end send messages too: a short run tells how many.
    short = arguments.steps // WINDOWS * 2
    runs = {name: [] for name in choices}
    start = {name: train(arguments, rate, keys, short)[0] for name, keys in choices.items()}
    for _ in range(arguments.rounds):  # in turn, so that a busy spell of the machine is everybody's
        for name, keys in choices.items():
            runs[name].append(train(arguments, rate, keys, arguments.steps))
    for name, results in runs.items():
        ways = [statistics.median(r[0][way] - start[name][way] for r in results) / (arguments.steps - short)
                for way in (0, 1)]
        seconds = statistics.median(w for r in results for w in r[1])
        busy = max(ways) * 8e-6 / rate / seconds
        print(f"| {name} | {rate} | {ways[0] / 1e6:.3f} | {ways[1] / 1e6:.3f} | {1e3 * seconds:.2f} | {busy:.0%} | "
              f"{results[-1][2]:.4f} | {results[-1][3]} |", flush=True)


def main():
    arguments = parse_arguments()
    choices = dict(arguments.tried) if arguments.tried else TRIED
    print(f"{pathlib.Path(arguments.run).name}, {arguments.ranks} ranks on 2 hosts, {os.cpu_count()} cores in all, "
          f"load when it began {os.getloadavg()[0]:.1f}; medians of {arguments.rounds} runs of {arguments.steps} steps.")
    print()
    print("| setting | link, Mbit/s | MB a step, one way | the other way | ms a step | link in use | loss | digest |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for rate in arguments.rate or [1000]:
        measure(arguments, rate, choices)


if __name__ == "__main__":
    main()
