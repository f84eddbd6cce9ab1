#!/usr/bin/python3
"""Import: how many bytes of the source a second, on 1, 2 and 4 ranks, and the largest memory of a rank.

importing.py PROGRAM [MEGABYTES [FOLDER]]: makes files of about MEGABYTES (default 200) in FOLDER (default: a
temporary one) and prints a table. The file system's cache is warm; the dataset is flushed to the disk.
"""
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

program = Path(sys.argv[1]).resolve()
megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 200
rng = np.random.default_rng(3)
mpirun = Path(__file__).resolve().parent.parent / "scripts" / "mpirun.sh"


def make(folder):
    rows = megabytes * 1_000_000 // 4 // 256
    x = rng.standard_normal((rows, 256)).astype("f4")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", rng.integers(0, 9, rows).astype("u1"))
    np.savez(folder / "x.npz", x=x)
    line_rows = megabytes * 1_000_000 // 200
    block = rng.standard_normal((1000, 10))
    lines = "".join(",".join(repr(v) for v in row.tolist()) + f",{i % 7}\n" for i, row in enumerate(block))
    objects = "".join('{"v": [' + ", ".join(repr(v) for v in row.tolist()) + f'], "y": {i % 7}}}\n' for i, row in enumerate(block))
    with open(folder / "a.csv", "w") as csv, open(folder / "a.jsonl", "w") as jsonl:
        csv.write(",".join(f"c{i}" for i in range(10)) + ",y\n")
        for _ in range(line_rows // 1000):
            csv.write(lines)
            jsonl.write(objects)


CASES = {
    "npy": ["x.npy", "y.npy"], "npy, deflate 1": ["x.npy", "y.npy", "--deflate", "1"], "npz": ["x.npz"],
    "raw": ["x.npy", "--format", "raw", "--type", "f32", "--shape", "256", "--skip", "128"],
    "csv": ["a.csv"], "jsonl": ["a.jsonl"],
}


def run(folder, case, ranks):
    out = folder / "out.h5"
    out.unlink(missing_ok=True)
    alone = [str(program), "-q", "import", "--out", str(out), "--train", *CASES[case]]
    # Of every rank its own largest memory: bash's `time` has none, so each is started by a small shell.
    command = [str(mpirun), "-np", str(ranks), "/usr/bin/python3", "-c",
               "import os, subprocess, sys, resource\n"
               "code = subprocess.call(sys.argv[1:])\n"
               "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\nsys.exit(code)", *alone]
    begin = time.time()
    said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    seconds = time.time() - begin
    peak = max(int(kb) for kb in re.findall(r"peak (\d+)", said)) / 1024
    size = sum(os.path.getsize(folder / name) for name in CASES[case] if (folder / name).exists())
    return size / seconds / 1e6, peak


with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as name:
    folder = Path(name)
    make(folder)
    print(f"{'source':16}" + "".join(f"{r} ranks: MB/s  MiB a rank   " for r in (1, 2, 4)))
    for case in CASES:
        cells = "".join("{:11.0f} {:12.0f}   ".format(*run(folder, case, ranks)) for ranks in (1, 2, 4))
        print(f"{case:16}{cells}", flush=True)
