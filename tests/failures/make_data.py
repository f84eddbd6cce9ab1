"""Damaged and unsuitable copies of FOLDER/good.h5 and FOLDER/packed.h5, one per failure: make_data.py FOLDER"""
import json
import pathlib
import shutil
import sys

import h5py
import numpy as np

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(3)
good = folder / "good.h5"


def copy(name, source=good):
    target = folder / f"{name}.h5"
    shutil.copy(source, target)
    return target


def foreign(name, **splits):
    """A file of plain datasets, as h5py users write it."""
    with h5py.File(folder / f"{name}.h5", "w") as f:
        for path, values in splits.items():
            f[path.replace("__", "/")] = values


with open(copy("truncated"), "r+b") as f:
    f.truncate(good.stat().st_size * 3 // 5)
(folder / "words.h5").write_text("these are no numbers\n" * 100)
(folder / "empty.h5").write_bytes(b"")

# One byte of one chunk in the middle of the training images; zlib or its checksum notices.
with h5py.File(folder / "packed.h5") as f:
    images = f["train/image"]
    chunk = images.id.get_chunk_info(images.id.get_num_chunks() // 2)
with open(copy("damaged", folder / "packed.h5"), "r+b") as f:
    f.seek(chunk.byte_offset + chunk.size // 2)
    f.write(b"\xa5\x5a\xff")
(folder / "damaged.row").write_text(str(chunk.chunk_offset[0]))

# A file of the first manifest format has no hashes, which would notice first.
with h5py.File(copy("label"), "r+") as f:
    f["train/label"][123] = 9
    del f["lockstep_hashes"]
    statistics = {"mean": 64.0, "deviation": 49.0, "minimum": 0, "maximum": 255}
    fields = {"image": {"role": "input", "statistics": statistics}, "label": {"role": "target", "classes": 4}}
    f.attrs["lockstep_manifest"] = json.dumps({"format": 1, "fields": fields})

images = rng.random((400, 6, 6), dtype=np.float32)
labels = rng.integers(0, 4, 400).astype("u1")
bad = images.copy()
bad[217, 1, 2] = np.nan
foreign("nan", train__image=bad, train__label=labels)
bad = images[:64].copy()
bad[33, 0, 5] = np.inf
foreign("nan_val", train__image=images, train__label=labels, val__image=bad, val__label=labels[:64])
foreign("unequal", train__image=images, train__label=labels[:399])
foreign("val_shape", train__image=images, train__label=labels, val__image=images[:50, :5], val__label=labels[:50])
foreign("complex", train__image=images.astype(np.complex64), train__label=labels)
foreign("values", train__image=images, train__label=images[:, 0, 0])
foreign("no_split", test__image=images, test__label=labels)
foreign("names", train__pixels=images, train__weight=labels, train__quality=labels)
foreign("flat", train__image=images.reshape(400, 36), train__label=labels)
