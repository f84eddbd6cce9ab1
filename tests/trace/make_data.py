"""Small data for the runs: make_data.py FOLDER writes vectors, images, volumes and a text."""
import pathlib
import sys

import h5py
import numpy as np

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(8)


def write(name, target, **samples):
    with h5py.File(folder / f"{name}.h5", "w") as f:
        for split, count in samples.items():
            x, y = target(count)
            f.create_dataset(f"{split}/x", data=x, chunks=(32, *x.shape[1:]), compression="gzip")
            f[f"{split}/y"] = y


write("mlp", lambda n: (rng.random((n, 784), dtype=np.float32), rng.integers(0, 10, n)), train=1500, val=60)
write("cnn", lambda n: (rng.integers(0, 256, (n, 28, 28, 1), np.uint8), rng.integers(0, 10, n)), train=1500, val=60)
with h5py.File(folder / "cosmoflow.h5", "w") as f:
    for split, count in (("train", 24), ("val", 9)):
        f[f"{split}/x"] = rng.poisson(4, (count, 32, 32, 32, 4)).astype(np.uint8)
        f[f"{split}/y"] = rng.random((count, 2), dtype=np.float32)
words = "the sea was calm and the ship rowed on in time".split()
(folder / "text.txt").write_text("".join(" ".join(rng.choice(words, 7)) + ".\n" for _ in range(3000)))
