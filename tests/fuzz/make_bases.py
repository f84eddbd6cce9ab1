#!/usr/bin/python3
"""Small good files for the fuzzing of data files, and where in them the data lie.

make_bases.py FOLDER PROGRAM: FOLDER/bases.txt gets a line for each base: its name, its first file,
the other files that it needs; FOLDER/FILE.ranges tells the bytes of FILE that are data, a range a
line: begin, end. All other bytes are metadata.
"""
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

folder, program = Path(sys.argv[1]), sys.argv[2]
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(11)
N, SAMPLE = 90, (3, 5)
bases = []


def data_ranges(path):
    ranges = []

    def visit(_, item):
        if not isinstance(item, h5py.Dataset) or item.is_virtual:
            return
        if item.chunks:
            for i in range(item.id.get_num_chunks()):
                info = item.id.get_chunk_info(i)
                ranges.append((info.byte_offset, info.byte_offset + info.size))
        elif item.id.get_offset() is not None:
            ranges.append((item.id.get_offset(), item.id.get_offset() + item.id.get_storage_size()))

    with h5py.File(path) as f:
        f.visititems(visit)
    Path(f"{path}.ranges").write_text("".join(f"{a} {b}\n" for a, b in sorted(ranges)))


def base(name, *files):
    for file in files:
        data_ranges(folder / file)
    bases.append(" ".join((name, *files)))


def values(dtype="<u2", n=N):
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal((n,) + SAMPLE).astype(dtype)
    return rng.integers(0, 200, (n,) + SAMPLE).astype(dtype)


def write(name, dtype="<u2", libver="earliest", n=N, **options):
    with h5py.File(folder / f"{name}.h5", "w", libver=libver) as f:
        for split, count in (("train", n), ("val", 20)):
            f.create_dataset(f"{split}/x", data=values(dtype, count), **options)
            chunks = {"chunks": (10,)} if options else {}
            kept = {k: v for k, v in options.items() if k in ("compression", "fletcher32")}
            f.create_dataset(f"{split}/y", data=(np.arange(count) % 5).astype("u1"), **chunks, **kept)


CHUNKS = (10,) + SAMPLE
for name, options in (
    ("contiguous", {}),
    ("contiguous_big", {"dtype": ">f4"}),
    ("chunked", {"chunks": CHUNKS}),
    ("gzip", {"chunks": CHUNKS, "compression": "gzip"}),
    ("shuffle", {"chunks": CHUNKS, "compression": "gzip", "shuffle": True, "dtype": "<f4"}),
    ("fletcher", {"chunks": CHUNKS, "fletcher32": True}),
    ("fletcher_gzip", {"chunks": CHUNKS, "compression": "gzip", "shuffle": True, "fletcher32": True}),
    ("fletcher_latest", {"chunks": CHUNKS, "fletcher32": True, "libver": "latest"}),
    ("latest", {"chunks": CHUNKS, "compression": "gzip", "libver": "latest"}),
    ("cut_chunks", {"chunks": (10, 2, 5), "compression": "gzip"}),
    ("lzf", {"chunks": CHUNKS, "compression": "lzf"}),
    ("scaleoffset", {"chunks": CHUNKS, "scaleoffset": 9}),
):
    write(name, **options)
    base(name, f"{name}.h5")

# Many chunks: an index of several nodes.
with h5py.File(folder / "index.h5", "w") as f:
    f.create_dataset("train/x", data=values(n=700), chunks=(1,) + SAMPLE)
    f.create_dataset("train/y", data=(np.arange(700) % 5).astype("u1"), chunks=(7,))
base("index", "index.h5")

# Groups, soft and external links, a virtual dataset over two files.
write("part_a")
write("part_b", chunks=CHUNKS, compression="gzip")
with h5py.File(folder / "links.h5", "w") as f:
    f["stored/x"], f["stored/y"] = values(), (np.arange(N) % 5).astype("u1")
    f["train"] = h5py.SoftLink("/stored")
    f["val"] = h5py.ExternalLink("part_a.h5", "/train")
base("links", "links.h5", "part_a.h5")
with h5py.File(folder / "virtual.h5", "w", libver="latest") as f:
    layout = h5py.VirtualLayout((2 * N,) + SAMPLE, "<u2")
    layout[:N] = h5py.VirtualSource("part_a.h5", "train/x", (N,) + SAMPLE)
    layout[N:] = h5py.VirtualSource("part_b.h5", "train/x", (N,) + SAMPLE)
    f.create_virtual_dataset("train/x", layout)
    f["train/y"] = (np.arange(2 * N) % 5).astype("u1")
base("virtual", "virtual.h5", "part_a.h5", "part_b.h5")

# What the program writes itself, with a hash for each unit.
lines = ["a,b,label"] + [f"{i},{i * i % 97},{i % 5}" for i in range(300)]
(folder / "rows.csv").write_text("\n".join(lines) + "\n")
for name, deflate in (("imported", 0), ("imported_gzip", 4)):
    subprocess.run([program, "--quiet", "import", "--format", "csv", "--overwrite", "--chunk-bytes", "512",
                    "--deflate", str(deflate), "--train", folder / "rows.csv", "--out",
                    folder / f"{name}.h5"], check=True)
    base(name, f"{name}.h5")

# Hashes of a file that is not ours, beside it.
write("sealed", chunks=CHUNKS)
subprocess.run([program, "--quiet", "inspect", "--seal", folder / "sealed.h5"], check=True)
base("sealed", "sealed.h5", "sealed.h5.lockstep.h5")

(folder / "run.toml").write_text(
    "[model]\npreset = \"mlp\"\nhidden = [8]\n[train]\nbatch = 16\nlanes = 4\nsteps = 12\n"
    "[data]\nnormalise = \"none\"\nmax_skipped = 0.5\n[optimizer]\nlr = 1e-3\n")
(folder / "bases.txt").write_text("".join(line + "\n" for line in bases))
