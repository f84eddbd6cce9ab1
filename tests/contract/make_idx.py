"""Writes images.idx (1003 images of 12x12 bytes) and labels.idx (4 classes): blobs that can be learned."""
import pathlib
import struct
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(7)
labels = rng.integers(0, 4, 1003).astype(np.uint8)
images = rng.integers(0, 80, (1003, 12, 12)).astype(np.uint8)
for image, label in zip(images, labels):
    row, column = divmod(int(label), 2)
    image[row * 6 : row * 6 + 6, column * 6 : column * 6 + 6] += 100
(folder / "images.idx").write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, *images.shape) + images.tobytes())
(folder / "labels.idx").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, len(labels)) + labels.tobytes())
