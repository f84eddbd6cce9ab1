#!/usr/bin/python3
"""What walking the metadata of data files costs before they are opened (docs/data.md, "Damage").

probe.py PROGRAM [FOLDER]: one small file, many files of a sample each, one file of many chunks;
each walked by `lockstep inspect --probe`, as a run does at its start. Best of three, warm.
"""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

program = sys.argv[1]


def seconds(files):
    names = b"".join(str(file).encode() + b"\0" for file in files)
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([program, "inspect", "--probe", "-"], input=names, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - begun)
    return best


def measure(folder):
    small = folder / "small.h5"
    with h5py.File(small, "w") as f:
        f["train/x"], f["train/y"] = np.zeros((1000, 8), "f4"), np.zeros(1000, "u1")
    print(f"a process and one small file        {1e3 * seconds([small]):8.1f} ms")
    files = []
    for i in range(2000):
        files.append(folder / f"sample{i}.h5")
        with h5py.File(files[-1], "w") as f:
            f["climate/data"], f["climate/labels_0"] = np.zeros((8, 8, 4), "f4"), np.zeros((8, 8), "u1")
    print(f"2,000 files of a sample, each       {1e6 * seconds(files) / len(files):8.1f} us")
    for libver in ("earliest", "latest"):
        many = folder / f"many_{libver}.h5"
        with h5py.File(many, "w", libver=libver) as f:
            f.create_dataset("train/x", (1_000_000, 8), "u1", chunks=(1, 8))[:] = 1
            f["train/y"] = np.zeros(1_000_000, "u1")
        print(f"a million chunks, libver {libver:<8}   {1e3 * seconds([many]):8.1f} ms")
        many.unlink()


if len(sys.argv) > 2:
    measure(Path(sys.argv[2]))
else:
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name))
