#!/usr/bin/python3
"""Rows of weather and heat flux from Debian's ferret-datasets, and what least squares makes of them.

prepare.py OUT.h5: groups train, val and test, each with weather f4 [N, 8] and flux f4 [N].
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

SOURCE = Path("/usr/share/ferret-vis/data/esku_heat_budget.cdf")
INPUTS = ["SPD", "SST", "SAT", "AT", "AH", "SAH", "CLD", "SLP"]
TARGET = "FLH"
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
MISSING = 1e30  # and above, over land


def read():
    """weather [12, 46, 72, 8] and flux [12, 46, 72], by month, latitude and longitude."""
    if not SOURCE.exists():
        sys.exit(f"{SOURCE} is not there: apt install ferret-datasets netcdf-bin")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["nccopy", "-k", "nc4", "-d", "1", SOURCE, f"{folder}/a.nc"], check=True)
        with h5py.File(f"{folder}/a.nc") as f:
            return np.stack([f[name][...] for name in INPUTS], -1), f[TARGET][...]


def cells_of_splits(shape):
    """A place is in one split in all months: its neighbours in time tell nothing of it."""
    order = np.random.default_rng(1).permutation(int(np.prod(shape)))
    begin = 0
    for name, share in SHARES.items():
        end = begin + round(share * len(order))
        yield name, order[begin:end]
        begin = end


def r2(y, predicted):
    return 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)


def main(out):
    weather, flux = read()
    months, shape = weather.shape[0], weather.shape[1:3]
    weather, flux = weather.reshape(months, -1, len(INPUTS)), flux.reshape(months, -1)
    rows = {}
    with h5py.File(out, "w") as f:
        for name, cells in cells_of_splits(shape):
            x, y = weather[:, cells].reshape(-1, len(INPUTS)), flux[:, cells].reshape(-1)
            known = (x < MISSING).all(1) & (y < MISSING)
            rows[name] = x[known], y[known]
            for field, values in zip(("weather", "flux"), rows[name]):
                f.create_dataset(f"{name}/{field}", data=values, chunks=True, compression="gzip", compression_opts=1,
                                 shuffle=True, fletcher32=True)
            print(f"{name}: {known.sum()} rows")
    train, test = ((np.c_[x, np.ones(len(x))].astype("f8"), y.astype("f8")) for x, y in (rows["train"], rows["test"]))
    weights = np.linalg.lstsq(*train, rcond=None)[0]
    predicted = test[0] @ weights
    print(f"least squares on the test split: r2 {r2(test[1], predicted):.4f}, "
          f"mean absolute error {np.abs(test[1] - predicted).mean():.2f} W/m2")


if __name__ == "__main__":
    main(sys.argv[1])
