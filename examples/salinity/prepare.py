#!/usr/bin/python3
"""Patches of ocean temperature and the salinity in their middle, from Debian's ferret-datasets, and
what least squares makes of them.

prepare.py OUT.h5: groups train, val and test, each with temperature f4 [N, 11, 15, 15, 2] (depth,
latitude, longitude; degrees Celsius, 0 where there is no water, and 1 where there is) and salinity
f4 [N, 11], from the surface down to 400 m.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

SOURCE = Path("/usr/share/ferret-vis/data/levitus_climatology.cdf")
LEVELS = 11   # of 20: 0 to 400 m
PATCH = 15    # degrees
STEP = 2      # degrees between the middles of two patches
TILE = 15     # degrees: all patches with their middle in a tile are in one split
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
MISSING = -1e9  # and below, over land


def read():
    """Temperature and salinity [20, 180, 360], by depth, latitude and longitude."""
    if not SOURCE.exists():
        sys.exit(f"{SOURCE} is not there: apt install ferret-datasets netcdf-bin")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["nccopy", "-k", "nc4", "-d", "1", SOURCE, f"{folder}/a.nc"], check=True)
        with h5py.File(f"{folder}/a.nc") as f:
            return f["TEMP"][:LEVELS], f["SALT"][:LEVELS]


def split_of_tiles(rows, columns):
    order = np.random.default_rng(1).permutation(rows * columns)
    names = np.repeat(list(SHARES), np.diff(np.round(np.cumsum([0, *SHARES.values()]) * len(order)).astype(int)))
    splits = np.empty(len(order), names.dtype)
    splits[order] = names
    return splits.reshape(rows, columns)


def patches(temperature, salinity):
    """By split: lists of patches and of profiles."""
    water = (temperature > MISSING) & (salinity > MISSING)
    both = np.stack([np.where(water, temperature, 0), water], -1).astype("f4")
    half = PATCH // 2
    both = np.pad(both, ((0, 0), (0, 0), (half, half), (0, 0)), mode="wrap")  # the earth is round
    splits = split_of_tiles(180 // TILE, 360 // TILE)
    found = {name: ([], []) for name in SHARES}
    for y in range(half, 180 - half, STEP):
        for x in range(0, 360, STEP):
            if not water[:, y, x].all():
                continue
            inputs, targets = found[splits[y // TILE, x // TILE]]
            inputs.append(both[:, y - half:y + half + 1, x:x + PATCH])
            targets.append(salinity[:, y, x])
    return {name: (np.array(a), np.array(b)) for name, (a, b) in found.items()}


def r2(y, predicted):
    return 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)


def ridge(train, val, test):
    """Linear regression with the penalty that is best on val."""
    mean, deviation = train[0].mean(0), train[0].std(0) + 1e-6
    x = [np.c_[(part[0] - mean) / deviation, np.ones(len(part[0]))].astype("f4") for part in (train, val, test)]
    gram, moment = x[0].T @ x[0], x[0].T @ train[1]
    best = (-np.inf, 0)
    for penalty in 10.0 ** np.arange(0, 7):
        weights = np.linalg.solve(gram + penalty * np.eye(len(gram), dtype="f4"), moment)
        best = max(best, (r2(val[1], x[1] @ weights), r2(test[1], x[2] @ weights)))
    return best[1]


def main(out):
    found = patches(*read())
    with h5py.File(out, "w") as f:
        for name, (x, y) in found.items():
            f.create_dataset(f"{name}/temperature", data=x, chunks=(16, *x.shape[1:]), compression="gzip",
                             compression_opts=1, shuffle=True, fletcher32=True)
            f.create_dataset(f"{name}/salinity", data=y, chunks=(256, LEVELS), fletcher32=True)
            print(f"{name}: {len(x)} patches")
    mean, deviation = found["train"][1].mean(0), found["train"][1].std(0)
    found = {name: (x, (y - mean) / deviation) for name, (x, y) in found.items()}  # as the run does
    middle = PATCH // 2
    column = {name: (x[:, :, middle, middle, 0], y) for name, (x, y) in found.items()}
    whole = {name: (x[:, :, ::2, ::2].reshape(len(x), -1), y) for name, (x, y) in found.items()}
    print(f"r2 on the test split: least squares on the column in the middle {ridge(*column.values()):.3f}, "
          f"on every other value of the patch {ridge(*whole.values()):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
