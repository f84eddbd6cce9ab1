#!/usr/bin/python3
"""Other people's HDF5 files, in every layout that a run file can describe, and what h5py reads from them.

make_foreign.py FOLDER: for each case FOLDER/case/, with FOLDER/case.field.bin: the samples of a field, in the
order in which the description names their files, as plain little-endian bytes.
"""
import sys
from pathlib import Path

import h5py
import numpy as np

folder = Path(sys.argv[1])
rng = np.random.default_rng(11)


def place(name):
    where = folder / name
    where.mkdir(parents=True, exist_ok=True)
    return where


def noise(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(-99 if dtype.kind == "i" else 0, 99, shape).astype(dtype)


def dump(name, arrays):
    """The arrays are samples, as h5py read them."""
    with open(folder / f"{name}.bin", "wb") as out:
        for array in arrays:
            array = np.asarray(array)
            out.write(array.astype(array.dtype.newbyteorder("<")).tobytes())


# DeepCAM: one sample a file, the label a field of its own; each file stored in its own way.
def deepcam(name, count, shape, first=0):
    where, images, labels, numbers = place(name), [], [], []
    ways = ({}, {"chunks": True}, {"chunks": (5, 4, 16), "compression": "gzip"},
            {"chunks": shape, "shuffle": True, "compression": "gzip", "fletcher32": True})
    for i in range(count):
        with h5py.File(where / f"data-{i:04}.h5", "w") as f:
            image = noise("<f4", shape)
            image[0, 0, 0] = first + i
            d = f.create_dataset("climate/data", data=image, **ways[i % 4])
            d.attrs["units"] = np.bytes_("K  ")
            f["climate/labels_0"] = rng.integers(0, 3, shape[:2])
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout((h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)[i % 2])
            scalar = h5py.h5s.create(h5py.h5s.SCALAR)
            number = h5py.h5d.create(f.id, b"climate/number", h5py.h5t.STD_I32BE, scalar, plist)
            h5py.Dataset(number)[()] = (first + i) % 3
            images.append(d[...])
            labels.append(f["climate/labels_0"][...])
            numbers.append(f["climate/number"][()])
    dump(f"{name}.data", images)
    dump(f"{name}.number", [n.astype("<i4") for n in numbers])
    dump(f"{name}.labels", labels)


deepcam("deepcam", 37, (12, 10, 16))
deepcam("deepcam_val", 5, (12, 10, 16), first=100)

# CosmoFlow: several samples a dataset, cut out of a volume; what is to be learnt once a file.
where, blocks, targets, numbers = place("cosmo"), [], [], []
BLOCK = (4, 2, 4)
for i, options in enumerate(({}, {"chunks": (4, 2, 4, 4)}, {"chunks": (3, 5, 8, 2), "compression": "gzip"})):
    with h5py.File(where / f"u{i}.hdf5", "w") as f:
        volume = noise("<i2", (8, 10 - 2 * i, 12, 4))
        f.create_dataset("full", data=volume, **options)
        f["unitPar"] = noise("<f4", 4)
        f["unitPar"].attrs["unit"] = "1"
        number = 0
        for a in range(0, volume.shape[0], BLOCK[0]):
            for b in range(0, volume.shape[1], BLOCK[1]):
                for c in range(0, volume.shape[2], BLOCK[2]):
                    blocks.append(f["full"][a:a + BLOCK[0], b:b + BLOCK[1], c:c + BLOCK[2]])
                    targets.append(f["unitPar"][...])
dump("cosmo.full", blocks)
dump("cosmo.unitPar", targets)

# One group a sample, in several files; a group beside them that is no sample.
where, images, labels = place("groups"), [], []
for i, count in enumerate((40, 0, 43)):
    with h5py.File(where / f"g{i}.h5", "w") as f:
        samples = f.create_group("samples")
        samples.create_group("about")["text"] = "no sample"
        for s in rng.permutation(count):
            samples[f"s{s:03}/image"] = noise(">f4", (5, 6))
            samples[f"s{s:03}/label"] = np.uint8(s % 7)
        if count == 0:
            samples["s0/image"], samples["s0/label"] = noise("<f4", (5, 6)), np.uint8(1)
        for s in sorted(name for name in samples if name != "about"):
            images.append(samples[s]["image"][...])
            labels.append(samples[s]["label"][...])
dump("groups.image", images)
dump("groups.label", labels)

# Groups whose volumes are cut, beside one label each.
where, blocks, labels = place("group_blocks"), [], []
with h5py.File(where / "a.h5", "w") as f:
    for s in range(6):
        f[f"{s}/volume"] = noise("<u1", (4, 6))
        f[f"{s}/label"] = np.int64(s)
        for b in range(0, 4, 2):
            for c in range(0, 6, 3):
                blocks.append(f[f"{s}/volume"][b:b + 2, c:c + 3])
                labels.append(f[f"{s}/label"][...])
dump("group_blocks.volume", blocks)
dump("group_blocks.label", labels)

# Several files of rows, of different chunks; every split a group, and one empty piece.
where, parts = place("parts"), {"train": ([], []), "val": ([], [])}
number = 0
for i, (rows, chunk) in enumerate(((101, 7), (64, None), (0, 5), (200, 33), (33, 64))):
    with h5py.File(where / f"part-{i}.h5", "w") as f:
        for split, n in (("train", rows), ("val", rows // 8)):
            x = noise("<f4", (n, 3, 5))
            x[:, 0, 0] = np.arange(number, number + n)
            number += n
            options = {} if chunk is None else {"chunks": (chunk, 3, 5), "compression": "gzip",
                                                 "maxshape": (None, 3, 5)}
            f.create_dataset(f"{split}/x", data=x, **options)
            f[f"{split}/y"] = (np.arange(n) % 5).astype("u1")
            parts[split][0].append(f[f"{split}/x"][...])
            parts[split][1].append(f[f"{split}/y"][...])
for split, (x, y) in parts.items():
    dump(f"parts.{split}.x", x)
    dump(f"parts.{split}.y", y)

# A virtual dataset over other files of its folder and one below.
where = place("virtual")
place("virtual/below")
sources = [where / "s0.h5", where / "below" / "s1.h5", where / "s2.h5"]
layout = h5py.VirtualLayout(shape=(90, 4), dtype="<f4")
for i, source in enumerate(sources):
    with h5py.File(source, "w") as f:
        f["values"] = noise("<f4", (30, 4))
    layout[30 * i:30 * i + 30] = h5py.VirtualSource(str(source.relative_to(where)), "values", (30, 4))
with h5py.File(where / "all.h5", "w", libver="latest") as f:
    f.create_virtual_dataset("train/x", layout)
    f["train/y"] = np.arange(90) % 4
with h5py.File(where / "all.h5") as f:
    dump("virtual.x", [f["train/x"][...]])
outside = place("outside")
with h5py.File(outside / "secret.h5", "w") as f:
    f["values"] = noise("<f4", (30, 4))
    f["y"] = np.arange(30) % 4
for name, source in (("far", "../outside/secret.h5"), ("gone", "nowhere.h5")):
    layout = h5py.VirtualLayout(shape=(30, 4), dtype="<f4")
    layout[:] = h5py.VirtualSource(source, "values", (30, 4))
    with h5py.File(where / f"{name}.h5", "w", libver="latest") as f:
        f.create_virtual_dataset("train/x", layout)
        f["train/y"] = np.arange(30) % 4

# Sources that are counted, as many as there are.
for name, where_to in (("counted", "c-%b.h5"), ("counted_far", "../outside/c-%b.h5")):
    for i in range(4):
        with h5py.File(where / where_to.replace("%b", str(i)), "w") as f:
            f["v"] = noise("<f4", (10, 3))
    with h5py.File(where / f"{name}.h5", "w", libver="latest") as f:
        f.create_group("train")
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        space = h5py.h5s.create_simple((40, 3), (h5py.h5s.UNLIMITED, 3))
        space.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (10, 3), (10, 3))
        source = h5py.h5s.create_simple((10, 3), (10, 3))
        source.select_all()
        plist.set_virtual(space, where_to.encode(), b"v", source)
        space = h5py.h5s.create_simple((40, 3), (h5py.h5s.UNLIMITED, 3))
        h5py.h5d.create(f.id, b"/train/x", h5py.h5t.IEEE_F32LE, space, plist)
        f["train/y"] = np.arange(40) % 4
with h5py.File(where / "counted.h5") as f:
    dump("counted.x", [f["train/x"][...]])

# Links: soft, to a dataset and to a group; external, in steps, and outside.
where = place("links")
with h5py.File(where / "real.h5", "w") as f:
    f["deep/x"] = noise(">f8", (50, 3))
    f["deep/y"] = np.arange(50) % 3
    f["short"] = h5py.SoftLink("/deep/x")
with h5py.File(where / "main.h5", "w") as f:
    f["kept/y"] = np.arange(50) % 3
    f["train/x"] = h5py.ExternalLink("real.h5", "/short")
    f["train/y"] = h5py.SoftLink("/kept/y")
    f["val"] = h5py.ExternalLink("real.h5", "/deep")
with h5py.File(where / "main.h5") as f:
    dump("links.x", [f["train/x"][...]])
for name, target in (("far", "../outside/secret.h5"), ("absolute", str(outside / "secret.h5")),
                     ("gone", "nowhere.h5")):
    with h5py.File(where / f"{name}.h5", "w") as f:
        f["train/x"] = h5py.ExternalLink(target, "/values")
        f["train/y"] = np.arange(30) % 4
with h5py.File(where / "circle.h5", "w") as f:
    f["train/x"] = h5py.SoftLink("/train/y")
    f["train/y"] = h5py.SoftLink("/train/x")
(where / "sly.h5").symlink_to(outside / "secret.h5")
with h5py.File(where / "by_symlink.h5", "w") as f:
    f["train/x"] = h5py.ExternalLink("sly.h5", "/values")

# External storage.
where = place("external")
for name, target in (("near", "near.raw"), ("far", "../outside/far.raw")):
    x = noise("<f4", (40, 3))
    x.tofile(where / target)
    if name == "near":
        dump("external.x", [x])
    with h5py.File(where / f"{name}.h5", "w") as f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_external(target.encode(), 0, x.nbytes)
        space = h5py.h5s.create_simple(x.shape)
        f.create_group("train")
        h5py.h5d.create(f.id, b"/train/x", h5py.h5t.IEEE_F32LE, space, plist)
        f["train/y"] = np.arange(40) % 4

# Truth values, named numbers, halves.
where = place("types")
with h5py.File(where / "types.h5", "w") as f:
    f["train/truth"] = noise("u1", (60, 2)) > 50
    f["train/named"] = np.arange(60, dtype="i1") % 3
    named = h5py.enum_dtype({"RED": 0, "GREEN": 1, "BLUE": 2}, basetype=">i2")
    f.create_dataset("train/colour", data=np.arange(60) % 3, dtype=named)
    f["train/half"] = noise(">f2", (60, 4))
    for name in f["train"]:
        values = f["train"][name][...]
        dump(f"types.{name}", [values.astype("u1") if values.dtype.kind == "b" else values])

# One thing wrong in each.
where = place("wrong")
for i in range(3):
    with h5py.File(where / f"shape{i}.h5", "w") as f:
        f["x"] = noise("<f4", (3, 4) if i < 2 else (3, 5))
        f["rows"] = noise("<f4", (10, 4) if i < 2 else (10, 5))
        f["y"] = np.arange(10 if i < 1 else 9)
with h5py.File(where / "lacks.h5", "w") as f:
    for s in range(3):
        f[f"s{s}/image"], f[f"s{s}/label"] = noise("<f4", 4), np.int32(s)
    del f["s1/label"]
    del f["s2/image"]
