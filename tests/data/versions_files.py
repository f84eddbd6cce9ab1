#!/usr/bin/python3
"""Data for the tests of versions, changes to files, and numpy as the oracle of their figures.

versions_files.py make FOLDER | poke FILE PATH ROW VALUE | flip FILE PATH ROW | figures FILE [DATA]
"""
import json
import math
import sys
from pathlib import Path

import h5py
import numpy as np

PARTS = 64


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    x = rng.normal([0, 40], [1, 1e-3], (1200, 2)).round(5).astype("f4")
    y = rng.integers(0, 3, 1200)
    names = np.array(["red", "green", "blue"])

    def table(name, rows, label):
        with open(folder / name, "w") as f:
            f.write("a,b,label\n")
            for i in rows:
                f.write(f"{x[i, 0]:.5f},{x[i, 1]:.5f},{label[i]}\n")

    table("all.csv", range(600), y)
    table("byte.csv", range(600), np.where(np.arange(1200) == 77, (y + 1) % 3, y))
    table("order.csv", [*range(598), 599, 598], y)
    table("more.csv", range(600, 900), y)
    table("last.csv", range(900, 1200), y)
    table("names.csv", range(600), names[y])
    table("new_names.csv", range(600, 900), np.array(["blue", "violet", "green"])[y])
    table("test.csv", range(100), y)
    with h5py.File(folder / "whole.h5", "w") as f:
        rows = np.array([[f"{v:.5f}" for v in row] for row in x]).astype("f4")
        f.create_dataset("train/features", data=rows, chunks=(50, 2))
        f.create_dataset("train/label", data=y.astype("u1"), chunks=(50,))
    # Other programs' files.
    for name, field in (("foreign", "x"), ("renamed", "z")):
        with h5py.File(folder / f"{name}.h5", "w") as f:
            v = rng.standard_normal((3001, 3, 4)).astype("f4") if name == "foreign" else v
            f[f"train/{field}"] = v
            f["train/y"] = (np.arange(3001) % 7).astype("i4")
            f.create_dataset("val/y", data=(np.arange(200) % 5).astype("i4"), chunks=(33,),
                             compression="gzip")
            f[f"val/{field}"] = v[:200]
    with h5py.File(folder / "special.h5", "w") as f:
        v = rng.standard_normal((500, 3))
        v[3, 1], v[4, 0], v[5, 2] = np.nan, np.inf, -np.inf
        f["odd"] = v
        f["large"] = rng.standard_normal(500) * 1e300
        f["tiny"] = rng.standard_normal(500) * 1e-310
        f["one"] = np.full(500, -3.25)
        f["zero"] = np.zeros(500, "f4")
        f["long"] = rng.integers(-2**62, 2**62, 500)
        f["mixed"] = np.where(np.arange(500) == 9, -1e-320, 1e308)
        f["close"] = np.where(np.arange(500) % 2, 1.0, np.nextafter(1.0, 2))
    (folder / "many").mkdir()
    for i in range(4):
        with h5py.File(folder / "many" / f"part{i}.h5", "w") as f:
            f["x"] = rng.standard_normal((100 + i, 5)).astype("f4")
            f["y"] = rng.integers(0, 4, 100 + i)


def poke(file, path, row, value):
    with h5py.File(file, "r+") as f:
        f[path][row] = value


def flip(file, path, row):
    """One bit of a stored byte of the dataset, behind HDF5's back."""
    with h5py.File(file) as f:
        d = f[path]
        at = d.id.get_offset()
        if at is None:
            chunk = d.id.get_chunk_info(row // d.chunks[0])
            at = chunk.byte_offset + chunk.size // 2
        else:
            at += row * d.dtype.itemsize * int(np.prod(d.shape[1:]))
    with open(file, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 4]))


def floor_of(v, exponent):
    """floor(v / 2^exponent), in integers."""
    n, d = float(v).as_integer_ratio()
    return n // (d << exponent) if exponent >= 0 else (n << -exponent) // d


def histogram(v):
    low, high = v.min(), v.max()
    if low == high:
        exponent = 0 if low == 0 else math.frexp(low)[1] - 1 - 5
    else:
        exponent = -1100
        while floor_of(high, exponent) - floor_of(low, exponent) >= PARTS:
            exponent += 1
    first = floor_of(low, exponent)
    counts = np.zeros(PARTS, int)
    for value in v:
        counts[floor_of(value, exponent) - first] += 1
    return first, exponent, counts


def close(a, b, scale=0.0):
    assert abs(a - b) <= 1e-12 * max(abs(a), abs(b), scale) or (a == b), (a, b)


def check_figures(name, told, data):
    v = data[...].astype("f8")
    flat = v.reshape(-1)
    good = flat[np.isfinite(flat)]
    assert told["count"] == flat.size and told["not_finite"] == flat.size - good.size, name
    assert told["minimum"] == good.min() and told["maximum"] == good.max(), name
    scale = np.abs(good).max()
    mean = math.fsum(good / good.size)
    if scale < 1e150:  # no square overflows
        close(told["mean"], mean, scale)
    if 1e-150 < scale < 1e150:
        close(told["deviation"], math.sqrt(math.fsum((good - mean) ** 2) / good.size), scale)
    first, exponent, counts = histogram(good)
    assert told["histogram"]["counts"] == counts.tolist(), name
    if abs(exponent) < 900:
        assert told["histogram"]["low"] == math.ldexp(first, exponent), name
        assert told["histogram"]["high"] == math.ldexp(first + PARTS, exponent), name
    if v.ndim > 1 and v.shape[-1] <= 256:
        for c in range(v.shape[-1]):
            column = v[..., c].reshape(-1)
            column = column[np.isfinite(column)]
            close(told["channels"]["mean"][c], column.mean(), scale)
            close(told["channels"]["deviation"][c], column.std(), scale)
    if data.dtype.kind in "iu" and v.ndim == 1 and good.min() >= 0:
        assert told["classes"] == np.bincount(flat.astype(int)).tolist(), name


def figures(file, data):
    with h5py.File(file) as f, h5py.File(data) as d:
        seen = 0
        if "lockstep_seal" in f.attrs:
            told = json.loads(bytes(f["lockstep_sealed_manifest"][...]))["manifest"]
            for split in told["splits"]:
                for field in split["fields"]:
                    check_figures(field["path"], field["figures"], d[field["path"]])
                    seen += 1
        else:
            told = json.loads(f.attrs["lockstep_manifest"])
            assert told["format"] == 2
            for name, field in told["fields"].items():
                for split, of in field["splits"].items():
                    check_figures(name, of["figures"], d[f"{split}/{name}"])
                    seen += 1
        assert seen > 1
        print(told["id"])


command, file, *rest = sys.argv[1:]
if command == "make":
    make(Path(file))
elif command == "poke":
    poke(file, rest[0], int(rest[1]), float(rest[2]))
elif command == "flip":
    flip(file, rest[0], int(rest[1]))
else:
    figures(file, rest[0] if rest else file)
