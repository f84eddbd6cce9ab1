#!/usr/bin/env python3
"""How long a run waits for its data: the quickstart's CNN on images of 28 x 28 and a small 3-D CNN on volumes of
64^3 x 4, from contiguous, chunked and gzipped files, without a cache and with each kind. Prints the share of waiting,
what was read from where, and the digests, which must agree.

    benchmarks/waiting.py LOCKSTEP [--ranks 1 2] [--models images volumes] [--volumes 96] [--images 20000]

The files are made in a temporary folder (volumes: 4 MiB each). Every file is read once before its runs, so that it
lies in the page cache; --cold drops that of the file instead (needs no root: posix_fadvise).
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FORMS = {"contiguous": {}, "chunked": {"chunks": True}, "gzip": {"chunks": True, "compression": "gzip",
                                                                 "compression_opts": 1, "shuffle": True}}
CACHES = ["none", "memory", "node"]
VOLUMES_MODEL = """
[data]
path = "DATA"
input = "x"
target = "y"
val = ""
normalise = "none"
[train]
batch = 16
lanes = 8
epochs = 4
[optimizer]
kind = "adamw"
lr = 1e-3
[model]
loss = "mse"
""" + "".join(f"""[[model.layers]]
kind = "conv"
out = {width}
kernel = [3, 3, 3]
padding = 1
[[model.layers]]
kind = "relu"
[[model.layers]]
kind = "max_pool"
kernel = [2, 2, 2]
""" for width in (16, 32, 64)) + """[[model.layers]]
kind = "flatten"
[[model.layers]]
kind = "linear"
"""


def volume(rng):
    """Smooth in space, as measured fields are, with noise in the last bits: gzip makes it a half to two thirds."""
    coarse = rng.standard_normal((8, 8, 8, 4)).astype(np.float32)
    fine = coarse.repeat(8, 0).repeat(8, 1).repeat(8, 2)
    return np.round(fine * 64 + rng.standard_normal(fine.shape).astype(np.float32)) / 64


def write_volumes(path, count, form):
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as f:
        options = dict(FORMS[form])
        if options:
            options["chunks"] = (1, 64, 64, 64, 4)
        x = f.create_dataset("train/x", (count, 64, 64, 64, 4), "f4", **options)
        for i in range(count):
            x[i] = volume(rng)
        f["train/y"] = rng.random((count, 4), dtype=np.float32)


def write_images(path, count, form):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (count, 7, 7), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    options = dict(FORMS[form])
    if options:
        options["chunks"] = (334, 28, 28)  # 256 KiB
    with h5py.File(path, "w") as f:
        f.create_dataset("train/image", data=images, **options)
        f.create_dataset("train/label", data=rng.integers(0, 10, count, dtype=np.uint8),
                         **({**options, "chunks": (334,)} if options else {}))


def write_run(folder, model, epochs):
    if model == "volumes":
        text = VOLUMES_MODEL.replace("DATA", str(folder / "data.h5"))
    else:
        text = (ROOT / "examples/quickstart.toml").read_text()
        text = re.sub(r'path = ".*"', f'path = "{folder / "data.h5"}"\nval = ""', text)
        text = re.sub(r"\[checkpoint\]\n(?:\w+ = .*\n)+", "", text)
    text = re.sub(r"epochs = \d+", f"epochs = {epochs}", text)
    (folder / "run.toml").write_text(text)


def touch_pages(path, cold):
    with open(path, "rb") as f:
        if cold:
            os.fdatasync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        else:
            while f.read(1 << 24):
                pass


def bytes_row(text, name):
    row = re.search(rf"{name} +\S+ \S+ +(\S+ \S+)", text)
    return row[1] if row else "-"


def run(arguments, folder, ranks, settings):
    touch_pages(folder / "data.h5", arguments.cold)
    environment = dict(os.environ, OMPI_MCA_mpi_yield_when_idle="1", TMPDIR=str(folder))
    command = [ROOT / "scripts/mpirun.sh", "-np", str(ranks), arguments.lockstep, "train", folder / "run.toml",
               *[f"--set={s}" for s in settings], *[f"--set={s}" for s in arguments.set]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lockstep", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--models", nargs="+", default=["images", "volumes"], choices=["images", "volumes"])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--caches", nargs="+", default=CACHES, choices=CACHES)
    parser.add_argument("--volumes", type=int, default=96)
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--set", action="append", default=[], help="further settings of the runs")
    arguments = parser.parse_args()
    print("| data | file | ranks | cache | waiting for data | samples/s | from files | from the cache | digest |")
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | --- |")
    differ = False
    for model in arguments.models:
        digests = set()
        for form in arguments.forms:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write = write_volumes if model == "volumes" else write_images
                write(folder / "data.h5", arguments.volumes if model == "volumes" else arguments.images, form)
                write_run(folder, model, arguments.epochs)
                for ranks in arguments.ranks:
                    for cache in arguments.caches:
                        text = run(arguments, folder, ranks, [f"data.cache={cache}", f"data.cache_dir={folder / 'cache'}"])
                        share = re.search(r"waiting for data.* ([\d.]+) %", text)[1]
                        rate = re.search(r"([\d.]+) samples/s,", text)[1]
                        digest = re.findall(r"digest (\w+)", text)[-1]
                        digests.add(digest)
                        print(f"| {model} | {form} | {ranks} | {cache} | {share} % | {rate} | "
                              f"{bytes_row(text, 'data read from files')} | "
                              f"{bytes_row(text, 'data read from the cache')} | {digest[:8]} |", flush=True)
        differ |= len(digests) > 1
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
