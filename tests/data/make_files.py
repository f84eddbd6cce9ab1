#!/usr/bin/python3
"""Data files that an independent library wrote, and their values as plain little-endian bytes.

make_files.py FOLDER: for each FOLDER/name.h5 and field there is FOLDER/name.field.bin.
"""
import sys
from pathlib import Path

import h5py
import numpy as np

folder = Path(sys.argv[1])
rng = np.random.default_rng(7)
N = 1009  # prime
SAMPLE = (3, 5)


def values(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype.newbyteorder("="), endpoint=True).astype(dtype)


def dump(name, field, array):
    array.astype(array.dtype.newbyteorder("<")).tofile(folder / f"{name}.{field}.bin")


def layout_file(name, dtype="<u2", label_options=None, **options):
    x = values(dtype, (N,) + SAMPLE)
    x[: N // 2] = rng.integers(0, 3, (N // 2,) + SAMPLE)  # packs well; noise leaves filters off
    y = rng.integers(0, 10, N).astype("u1")
    with h5py.File(folder / f"{name}.h5", "w") as f:
        f.create_dataset("train/x", data=x, **options)
        f.create_dataset("train/y", data=y, **(label_options or {}))
    dump(name, "x", x)
    dump(name, "y", y)


layout_file("contiguous")
layout_file("contiguous_big", dtype=">u2")
for rows in (1, 7, 1000):
    layout_file(f"chunk{rows}", chunks=(rows,) + SAMPLE, label_options={"chunks": (rows,)})
layout_file("gzip", chunks=(7,) + SAMPLE, compression="gzip")
layout_file("shuffle_gzip", dtype="<f4", chunks=(64,) + SAMPLE, compression="gzip", shuffle=True,
            label_options={"chunks": (100,), "compression": "gzip"})
layout_file("shuffle", dtype="<f8", chunks=(31,) + SAMPLE, shuffle=True)
layout_file("big_gzip", dtype=">i4", chunks=(33,) + SAMPLE, compression="gzip", shuffle=True)
layout_file("fletcher", chunks=(32,) + SAMPLE, compression="gzip", fletcher32=True)
layout_file("lzf", chunks=(32,) + SAMPLE, compression="lzf")
layout_file("split_samples", chunks=(10, 2, 3), compression="gzip")
layout_file("resizable", chunks=(32,) + SAMPLE, maxshape=(None,) + SAMPLE)

# Chunks that were never written have the fill value.
with h5py.File(folder / "fill.h5", "w") as f:
    d = f.create_dataset("train/x", (N,) + SAMPLE, "<u2", chunks=(32,) + SAMPLE, fillvalue=513,
                         compression="gzip")
    d[100:200] = values("<u2", (100,) + SAMPLE)
    f.create_dataset("train/y", data=np.zeros(N, "u1"))
    dump("fill", "x", d[...])
    dump("fill", "y", f["train/y"][...])

# A raw chunk above a megabyte is read by rows.
wide = values("u1", (40, 300, 300))
with h5py.File(folder / "wide.h5", "w") as f:
    f.create_dataset("train/x", data=wide, chunks=(16, 300, 300))
    f.create_dataset("train/y", data=np.zeros(40, "u1"))
dump("wide", "x", wide)

# Every element type, in both byte orders, and a user block before HDF5's own header.
with h5py.File(folder / "types.h5", "w", userblock_size=1024) as f:
    for order in "<>":
        for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"):
            name = ("little_" if order == "<" else "big_") + kind
            v = values(order + kind, (N, 2))
            if kind[0] == "f":
                v[3, 1], v[4, 0], v[5, 0] = -0.0, np.finfo(kind).tiny, np.finfo(kind).max
                v[6, 0] = np.finfo(kind).smallest_subnormal
            f.create_dataset(name, data=v)
            dump("types", name, v)

# Streams of tokens: one integer a row, called "tokens"; 5003 of them, a prime.
def stream_file(name, dtype="<u2", high=300, **options):
    tokens = rng.integers(0, high, 5003).astype(dtype)
    tokens[4000] = high - 1
    with h5py.File(folder / f"{name}.h5", "w") as f:
        f.create_dataset("train/tokens", data=tokens, **options)
        f.create_dataset("val/tokens", data=tokens[:101], **options)
    dump(name, "tokens", tokens)


stream_file("stream_contiguous")
stream_file("stream_u1", "u1", high=256, chunks=(64,), compression="gzip")
stream_file("stream_chunk", chunks=(100,))
stream_file("stream_gzip", chunks=(100,), compression="gzip", shuffle=True)
stream_file("stream_big", ">i4", high=70000, chunks=(33,), compression="gzip")
stream_file("stream_i8", "<i8", chunks=(101,), fletcher32=True)
stream_file("stream_grown", chunks=(1000,), maxshape=(None,), compression="gzip")

# What cannot be used, each with one thing wrong.
with h5py.File(folder / "unequal.h5", "w") as f:
    f["train/x"], f["train/y"] = np.zeros((10, 3), "f4"), np.zeros(9, "u1")
with h5py.File(folder / "text.h5", "w") as f:
    f["train/x"], f["train/y"] = np.zeros((2, 3), "f4"), np.array([b"a", b"b"])
with h5py.File(folder / "empty.h5", "w") as f:
    f.create_group("train")
nan = np.zeros((100, 3), "f4")
nan[57, 1] = np.nan
with h5py.File(folder / "nan.h5", "w") as f:
    f["train/x"], f["train/y"] = nan, np.zeros(100, "u1")
labels = np.arange(100, dtype="f4") % 4
labels[71] = 2.5
with h5py.File(folder / "labels.h5", "w") as f:
    f["train/x"], f["train/y"] = np.zeros((100, 3), "f4"), (np.arange(100) % 4).astype("u1")
    f["half/x"], f["half/y"] = np.zeros((100, 3), "f4"), labels
# Chunks whose place in the file is told, for tests that damage them.
with h5py.File(folder / "damage.h5", "w") as f:
    d = f.create_dataset("train/x", data=rng.integers(0, 99, (100,) + SAMPLE).astype("u2"),
                         chunks=(10,) + SAMPLE, compression="gzip")
    f["train/y"] = np.zeros(100, "u1")
    f.flush()
    with open(folder / "damage.txt", "w") as t:
        for i in range(d.id.get_num_chunks()):
            info = d.id.get_chunk_info(i)
            t.write(f"{info.chunk_offset[0]} {info.byte_offset} {info.size}\n")
