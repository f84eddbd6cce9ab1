#!/usr/bin/python3
"""Data with known faults, and drift with known numbers. make_doubtful.py FOLDER"""
import json
import sys
from pathlib import Path

import h5py
import numpy as np

folder = Path(sys.argv[1])
N = 1009
rng = np.random.default_rng(5)
i = np.arange(N)
rows = np.stack([i, i * i % 97], 1).astype("f4")
labels = (i % 5).astype("u1")


def write(name, x, y, **more):
    with h5py.File(folder / name, "w", libver="earliest") as f:
        f.create_dataset("train/x", data=x, chunks=(10, 2), compression="gzip")
        f.create_dataset("train/y", data=y)
        for path, values in more.items():
            f[path] = values
    return folder / name


# Rows that cannot be trusted: some values, a label, a whole chunk, the first and the last row.
x, y = rows.copy(), labels.copy()
x[[0, 3, 4, 17, 500, N - 1], 1] = [np.nan, np.inf, np.nan, -np.inf, np.nan, np.nan]
y[77] = 9
path = write("faulty.h5", x, y)
with h5py.File(path) as f:
    info = f["train/x"].id.get_chunk_info_by_coord((30, 0))
data = bytearray(path.read_bytes())
data[info.byte_offset + info.size // 2] ^= 0x55
path.write_bytes(data)
bad = sorted({0, 3, 4, 17, 500, N - 1, 77, *range(30, 40)})
(folder / "faulty.txt").write_text("\n".join(map(str, bad)))

# What is not fit to be learnt from.
x = rng.standard_normal((N, 4)).astype("f4")
x[:, 2] = 1.5  # a constant column
x[5, 1], x[9, 3], x[9, 0] = np.nan, np.nan, np.inf
y = (i % 3).astype("u1")
y[:4] = 7
x[100], y[100] = x[50], y[50]
x[200], y[200] = x[50], y[50]
x[201] = x[51]  # another label: no duplicate
y[201] = 1 - y[51] % 2
v, w = rng.standard_normal((40, 4)).astype("f4"), (np.arange(40) % 3).astype("u1")
v[:, 2] = 1.5
v[7], w[7] = x[50], y[50]
v[11], w[11] = x[300], y[300]
write("doubtful.h5", x, y, **{"val/x": v, "val/y": w})
write("clean.h5", rows, labels)

# Drift: normal values against shifted and wider ones, shares of classes.
a, b = rng.standard_normal(20000), rng.standard_normal(20000) * 1.1 + 0.3
k = rng.choice(4, 20000, p=[0.4, 0.3, 0.2, 0.1])
m = rng.choice(4, 20000, p=[0.3, 0.3, 0.2, 0.2])
write("before.h5", np.stack([a, a], 1).astype("f4"), k.astype("u1"))
write("after.h5", np.stack([b, b], 1).astype("f4"), m.astype("u1"))
edges = np.quantile(a, np.linspace(0, 1, 11))
edges[0], edges[-1] = -np.inf, np.inf


def psi(p, q):
    return float(np.sum((p - q) * np.log(p / q)))


def shares(values):
    return np.histogram(values, edges)[0] / len(values)


def ks(p, q):
    """The largest distance of the two empirical distributions, at every value (as ks_2samp does)."""
    at = np.sort(np.concatenate([p, q]))
    below = [np.searchsorted(np.sort(s), at, "right") / len(s) for s in (p, q)]
    return float(np.abs(below[0] - below[1]).max())


def counts(values):
    return np.bincount(values, minlength=4) / len(values)


(folder / "drift.json").write_text(json.dumps({
    "psi": psi(shares(a), shares(b)), "ks": ks(a, b),
    "class_psi": psi(counts(k), counts(m)),
    "class_ks": float(np.abs(np.cumsum(counts(k)) - np.cumsum(counts(m))).max())}))
