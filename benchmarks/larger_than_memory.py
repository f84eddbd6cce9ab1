#!/usr/bin/env python3
"""A dataset several times larger than the memory that a run may use: the 3-D CNN of waiting.py on volumes of 4 MiB, in
a memory cgroup, without a cache and with each kind, against the same run with all memory. Prints speed, PSS of all
ranks against the ledger, and what the cgroup held at most without the page cache.

    benchmarks/larger_than_memory.py LOCKSTEP [--ranks 2] [--limit GIB] [--times 4] [--epochs 2]

Needs root for the cgroup, and disk for the dataset and a cache as large.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import UNITS, Group, pss, ranks_of
from waiting import ROOT, bytes_row, touch_pages, write_run, write_volumes


def anonymous_and_shared(group):
    """Bytes of the cgroup that the kernel cannot drop."""
    if not group.folder:
        return 0
    facts = dict(line.split() for line in (group.folder / "memory.stat").read_text().splitlines())
    names = ["total_rss", "total_shmem"] if "total_rss" in facts else ["anon", "shmem"]
    return sum(int(facts.get(name, 0)) for name in names)


def run(arguments, folder, limit, settings):
    touch_pages(folder / "data.h5", cold=True)
    group = Group(limit)
    command = [ROOT / "scripts/mpirun.sh", "-np", str(arguments.ranks), arguments.lockstep, "train", folder / "run.toml",
               *[f"--set={s}" for s in settings]]
    environment = dict(os.environ, OMPI_MCA_mpi_yield_when_idle="1", TMPDIR=str(folder))
    output, most, held = folder / "output.txt", 0, 0
    with open(output, "w") as to:
        process = subprocess.Popen(command, env=environment, preexec_fn=group.enter, stdout=to, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, sum(pss(pid) for pid in ranks_of(process.pid)))
            held = max(held, anonymous_and_shared(group))
            time.sleep(0.2)
    group.remove()
    text = output.read_text()
    if process.returncode != 0:
        sys.exit(f"exit code {process.returncode}\n{text[-2000:]}")
    return text, most, held


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lockstep", type=Path)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1.25, help="GiB of the cgroup")
    parser.add_argument("--times", type=float, default=4, help="size of the dataset in limits")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--form", default="chunked")
    arguments = parser.parse_args()
    count = int(arguments.limit * arguments.times * 256)  # of 4 MiB
    print(f"{count} volumes of 4 MiB, {arguments.form}: {count / 256:.1f} GiB; {arguments.ranks} ranks\n")
    print("| memory | cache | samples/s | waiting for data | ledger, GiB | PSS, GiB | cgroup without page cache, GiB | "
          "from files | from the cache | digest |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    digests = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_volumes(folder / "data.h5", count, arguments.form)
        write_run(folder, "volumes", arguments.epochs)
        some = int(arguments.limit * 2**30 / 4)
        for limit, cache, bytes_kept in [(0, "none", 0), (arguments.limit, "none", 0),
                                         (arguments.limit, "memory", some), (arguments.limit, "node", 0)]:
            text, most, held = run(arguments, folder, limit, [f"data.cache={cache}", f"data.cache_bytes={bytes_kept}",
                                                              f"data.cache_dir={folder / 'cache'}"])
            total = re.search(r"total per node +([\d.]+) (\w+)", text)
            digest = re.findall(r"digest (\w+)", text)[-1]
            digests.add(digest)
            print(f"| {f'{limit} GiB' if limit else 'all'} | {cache} | {re.search(r'([0-9.]+) samples/s,', text)[1]} | "
                  f"{re.search(r'waiting for data.* ([0-9.]+) %', text)[1]} % | "
                  f"{float(total[1]) * UNITS[total[2]] / 2**30:.2f} | {most / 2**30:.2f} | {held / 2**30:.2f} | "
                  f"{bytes_row(text, 'data read from files')} | {bytes_row(text, 'data read from the cache')} | "
                  f"{digest[:8]} |", flush=True)
    return 0 if len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
