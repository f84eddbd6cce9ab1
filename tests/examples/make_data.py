"""Small data for the runs: make_data.py FOLDER writes the first images of Fashion-MNIST as IDX, tables as CSV, a
text, and volumes of counts."""
import gzip
import pathlib
import struct
import sys

import h5py
import numpy as np

folder = pathlib.Path(sys.argv[1])
source = pathlib.Path("/usr/share/datasets/fashion-mnist")


def first(name, header, row, count):
    with gzip.open(source / f"{name}.gz") as f:
        head = bytearray(f.read(header))
        head[4:8] = struct.pack(">I", count)
        (folder / name).write_bytes(bytes(head) + f.read(row * count))


for part, count in (("train", 1200), ("t10k", 307)):
    first(f"{part}-images-idx3-ubyte", 16, 28 * 28, count)
    first(f"{part}-labels-idx1-ubyte", 8, 1, count)

rng = np.random.default_rng(11)
x = rng.standard_normal((601, 5))
value = x @ np.array([1.0, -2.0, 0.5, 0.0, 3.0]) + 1 + 0.1 * rng.standard_normal(601)
sign = (value > 1).astype(int)
header = "a,b,c,d,e,"
np.savetxt(folder / "value.csv", np.column_stack([x, value]), "%.6f", ",", header=header + "y", comments="")
np.savetxt(folder / "sign.csv", np.column_stack([x, sign]), ["%.6f"] * 5 + ["%d"], ",", header=header + "y",
           comments="")

words = "the sea was calm and the ship rowed on in time".split()
(folder / "text.txt").write_text("".join(" ".join(rng.choice(words, 7)) + ".\n" for _ in range(600)))

# Volumes of 32 x 32 x 32 counts whose mean and spread over planes are the two parameters.
with h5py.File(folder / "volumes.h5", "w") as f:
    for split, count in (("train", 24), ("val", 9)):
        y = rng.random((count, 2), dtype=np.float32)
        rate = 2 + 4 * y[:, :1] + 2 * y[:, 1:] * np.sin(np.arange(32))
        x = rng.poisson(rate[:, :, None, None, None], (count, 32, 32, 32, 4))
        f[f"{split}/x"], f[f"{split}/y"] = x.astype(np.uint8), y

# Images of bright squares on noise, and masks of where they are; channels first, and larger than what is seen.
with h5py.File(folder / "squares.h5", "w") as f:
    for split, count in (("train", 300), ("val", 40), ("test", 53)):
        mask = np.zeros((count, 15, 17), np.uint8)
        for m, y, x in zip(mask, rng.integers(0, 10, count), rng.integers(0, 12, count)):
            m[y:y + 5, x:x + 5] = 1
        image = rng.poisson(20 + 30 * mask[:, None] * np.array([1, 2, 0.5])[:, None, None])
        f.create_dataset(f"{split}/image", data=image.astype(">i2"), chunks=(9, 3, 15, 17), compression="gzip")
        f[f"{split}/mask"], f[f"{split}/total"] = mask, image.sum((1, 2, 3)).astype("f8")
