#!/usr/bin/env python3
"""Memory of a run against its ledger: starts `lockstep train` of a large MLP for each way of holding parameters,
reads PSS of all ranks while they step, and prints both with their ratio.

    benchmarks/memory.py LOCKSTEP [--ranks 2 4] [--hidden 8192 8192 4096] [--limit GIB]

With --limit each run also gets a memory cgroup (version 1 or 2) of so many GiB: runs that fit must train, those that
do not must be refused by the ledger and not by the kernel. Needs root for that. 107 million parameters: 10 GiB free.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WAYS = [("replicated", []), ("stage 1", ["sharded", "1"]), ("stage 2", ["sharded", "2"]), ("stage 3", ["sharded", "3"])]
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def write_run(folder, hidden):
    rng = np.random.default_rng(1)
    with h5py.File(folder / "data.h5", "w") as f:
        f["train/x"] = rng.random((2048, 784), dtype=np.float32)
        f["train/y"] = rng.integers(0, 10, 2048, dtype=np.int64)
    (folder / "run.toml").write_text(f"""[data]
path = "{folder / 'data.h5'}"
input = "x"
target = "y"
val = ""
[model]
preset = "mlp"
hidden = {hidden}
[train]
batch = 64
lanes = 8
steps = 12
""")


def settings(way):
    return [f"--set=parallel.strategy={way[0]}", f"--set=parallel.stage={way[1]}"] if way else []


def ranks_of(launcher):
    """Process numbers of the ranks: descendants that run lockstep."""
    found, queue = [], [launcher]
    while queue:
        pid = queue.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                queue += [int(p) for p in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
            if os.readlink(f"/proc/{pid}/exe").endswith("/lockstep"):
                found.append(pid)
        except OSError:
            pass
    return found


def pss(pid):
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class Group:
    """A memory cgroup for one run; None of it without a limit."""

    def __init__(self, limit):
        self.folder = None
        if not limit:
            return
        one = Path("/sys/fs/cgroup/memory")
        self.folder = (one if one.is_dir() else Path("/sys/fs/cgroup")) / f"lockstep-memory-{os.getpid()}"
        self.folder.mkdir()
        name = "memory.limit_in_bytes" if one.is_dir() else "memory.max"
        (self.folder / name).write_text(str(int(limit * (1 << 30))))

    def enter(self):
        if self.folder:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        if self.folder:
            self.folder.rmdir()


def run(arguments, folder, ranks, way):
    group = Group(arguments.limit)
    command = [ROOT / "scripts/mpirun.sh", "-np", str(ranks), arguments.lockstep, "train", folder / "run.toml", *settings(way)]
    environment = dict(os.environ, OMPI_MCA_mpi_yield_when_idle="1", TMPDIR=str(folder))
    output, most = folder / "output.txt", 0
    with open(output, "w") as to:
        process = subprocess.Popen(command, env=environment, preexec_fn=group.enter, stdout=to, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, sum(pss(pid) for pid in ranks_of(process.pid)))
            time.sleep(0.2)
    group.remove()
    text = output.read_text()
    total = re.search(r"total per node +([\d.]+) (\w+)", text)
    ledger = float(total[1]) * UNITS[total[2]] if total else 0
    digest = re.search(r"digest (\w+)", text)
    refused = re.search(r"this run needs .*", text)
    return {"code": process.returncode, "ledger": ledger, "pss": most, "digest": digest[1] if digest else "",
            "refused": refused[0] if refused else "", "text": text}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lockstep", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--hidden", type=int, nargs="+", default=[8192, 8192, 4096])
    parser.add_argument("--limit", type=float, default=0, help="GiB of a cgroup for all ranks together")
    arguments = parser.parse_args()
    failed = False
    print("| ranks | parameters | ledger, GiB | PSS, GiB | PSS / ledger | digest |")
    print("| ---: | --- | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder, arguments.hidden)
        for ranks in arguments.ranks:
            for label, way in WAYS:
                r = run(arguments, folder, ranks, way)
                if r["refused"]:
                    print(f"| {ranks} | {label} | refused | | | |\n\n{r['refused']}\n")
                elif r["code"] != 0:
                    failed = True
                    print(f"{ranks} ranks, {label}: exit code {r['code']}\n{r['text'][-2000:]}", file=sys.stderr)
                else:
                    print(f"| {ranks} | {label} | {r['ledger'] / 2**30:.2f} | {r['pss'] / 2**30:.2f} | "
                          f"{r['pss'] / r['ledger']:.3f} | {r['digest'][:8]} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
