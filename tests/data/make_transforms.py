#!/usr/bin/python3
"""Transformed samples as numpy makes them, with random choices by a Philox of its own.

make_transforms.py FOLDER: cases.json lists fields, transforms and draws; case I's stored samples are
FOLDER/I.stored, what a model should see of them FOLDER/I.seen. places.h5 and wide.h5 are for the
loader and for statistics, which means.json holds.
"""
import itertools
import json
import sys
from pathlib import Path

import h5py
import numpy as np

folder = Path(sys.argv[1])
rng = np.random.default_rng(11)
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
SHAPES = [(), (1,), (7,), (31,), (1, 1), (3, 5), (33, 4), (5, 7, 3), (4, 1, 6), (2, 3, 5, 2), (3, 4, 5, 2, 2),
          (1000, 3), (17, 1023), (2, 2, 2, 2, 2, 2, 2)]


def philox(counter, key):
    """Salmon et al. 2011, 4 words of 32 bits, ten rounds."""
    c, k = list(counter), [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def choices(draw, axis):
    seed, epoch, lane, place = draw
    key = seed ^ int.from_bytes(b"transfor", "big")
    return philox((place & 0xFFFFFFFF, place >> 32 | axis << 16, lane, epoch), key)[:2]


def rearranged(x, t, draw):
    """One sample: axes, crop, flip."""
    if t.get("axes"):
        x = np.transpose(x, t["axes"])
    whole = x.shape
    for axis, part in enumerate(t.get("crop", [])):
        begin = (whole[axis] - part) // 2
        if draw and t.get("crop_random"):
            begin = choices(draw, axis)[0] * (whole[axis] - part + 1) >> 32
        x = np.take(x, range(begin, begin + part), axis)
    for axis in t.get("flip", []):
        if draw and choices(draw, axis)[1] >> 31:
            x = np.flip(x, axis)
    return x


def seen(x, t, draw, shift, factor):
    x = rearranged(x, t, draw)
    if t.get("one_hot"):
        return (np.asarray(x)[..., None] == np.arange(t["one_hot"])).astype("f4")
    x = np.asarray(x, "f4")
    if t.get("log1p"):
        x = np.log1p(x.astype("f8")).astype("f4")
    if "scale" in t or "offset" in t:
        x = x * np.float32(t.get("scale", 1)) + np.float32(t.get("offset", 0))
    if len(shift):
        one = len(shift) == 1
        x = (x - np.array(shift[0] if one else shift, "f4")) * np.array(factor[0] if one else factor, "f4")
    return x.astype("f4")


cases = []


def case(dtype, shape, t, draw=None, shift=(), factor=(), count=3, low=None, high=None):
    if dtype[0] == "f":
        x = rng.standard_normal((count,) + shape).astype("<" + dtype)
        if t.get("log1p"):
            x = np.abs(x) * 10.0 ** rng.integers(-7, 4, x.shape)
            x = np.clip(x, 0, 60000).astype("<" + dtype)
    else:
        info = np.iinfo(dtype)
        low = info.min if low is None else low
        high = info.max if high is None else high
        x = rng.integers(low, high, (count,) + shape, dtype=dtype, endpoint=True)
    x = x.astype("<" + dtype)
    y = []
    for i in range(count):
        d = draw and (*draw[:3], draw[3] + i)
        y.append(seen(x[i], t, d, shift, factor))
    index = len(cases)
    x.tofile(folder / f"{index}.stored")
    np.array(y, "<f4").tofile(folder / f"{index}.seen")
    cases.append({"dtype": dtype[0] + str(8 * int(dtype[1])), "sample": list(shape), "count": count, "transform": t,
                  "draw": list(draw) if draw else [], "shift": list(shift), "factor": list(factor),
                  "seen": list(y[0].shape)})


def random_draw():
    return tuple(int(rng.integers(0, n)) for n in (2**63, 2**31, 65536, 2**47))


def random_transform(shape):
    """Any combination that fits; and the number of channels that are normalised, 0 for none."""
    rank, t = len(shape), {}
    axes = rng.permutation(rank).tolist() if rank and rng.integers(2) else list(range(rank))
    if axes != list(range(rank)):
        t["axes"] = axes
    whole = [shape[a] for a in axes]
    kind = rng.choice(["none", "one", "channel"]) if rank else rng.choice(["none", "one"])
    free = rank - 1 if kind == "channel" else rank
    crops = int(rng.integers(0, free + 1))
    if crops and rng.integers(3):
        t["crop"] = [int(rng.integers(1, whole[a] + 1)) for a in range(crops)]
        t["crop_random"] = bool(rng.integers(2))
    flips = [a for a in range(free) if rng.integers(2)]
    if flips and rng.integers(3):
        t["flip"] = rng.permutation(flips).tolist()
    if rng.integers(2):
        t["scale"], t["offset"] = float(rng.normal()), float(rng.normal())
    channels = {"none": 0, "one": 1, "channel": whole[-1] if rank else 0}[kind]
    return t, channels


for dtype in TYPES:
    case(dtype, (3, 5), {})
    case(dtype, (4, 5, 3), {"axes": [2, 0, 1], "crop": [2, 3], "flip": [0, 2], "crop_random": True}, random_draw())
case("u1", (3, 2, 1501), {"axes": [1, 2, 0]}, shift=[1, 2, 3], factor=[2, 3, 4])
case("f4", (5, 700, 2), {"axes": [2, 1, 0], "flip": [0, 1]}, random_draw())
for shape, round_ in itertools.product(SHAPES, range(12)):
    t, channels = random_transform(shape)
    draw = random_draw() if round_ % 3 else None
    shift, factor = rng.normal(size=channels).astype("f4"), rng.normal(size=channels).astype("f4")
    case(str(rng.choice(TYPES)), shape, t, draw, shift.tolist(), factor.tolist())
for shape in SHAPES[:-1]:
    t = {"one_hot": int(rng.integers(1, 9))}
    if len(shape) > 1:
        t["flip"], t["crop"], t["crop_random"] = [0], [max(1, shape[0] // 2), shape[1]], True
    case(str(rng.choice(TYPES[:8])), shape, t, random_draw(), low=0, high=t["one_hot"] - 1)
# log1p is not the same in the last bit everywhere: these are compared to one unit of it.
for shape, dtype in itertools.product(SHAPES[:-1], ("f4", "u2")):
    t, channels = random_transform(shape)
    case(dtype, shape, {"log1p": True} | {k: v for k, v in t.items() if k not in ("scale", "offset")}, random_draw())

(folder / "cases.json").write_text(json.dumps(cases))

# Images and masks whose values tell where they lie, for the loader; and one that is measured in parts.
N, HEIGHT, WIDTH = 211, 6, 9
places = np.arange(N * HEIGHT * WIDTH).reshape(N, HEIGHT, WIDTH)
with h5py.File(folder / "places.h5", "w") as f:
    image = np.stack([2 * places, 2 * places + 1], -1).astype("<f4")
    f.create_dataset("train/image", data=image, chunks=(7, HEIGHT, WIDTH, 2), compression="gzip")
    f.create_dataset("train/mask", data=places.astype("<i4"))
    f.create_dataset("train/volume", data=np.moveaxis(image, 3, 1).astype(">f8"))
wide = rng.integers(0, 200, (12, 1024, 256, 4)).astype("u1")
with h5py.File(folder / "wide.h5", "w") as f:
    f["train/image"], f["train/label"] = wide, np.zeros(12, "u1")
counts = np.array([np.bincount(wide[..., c].ravel(), minlength=256) for c in range(4)])
means = {}
for name, value in (("", np.arange(256.0)), ("log_", np.log1p(np.arange(256.0)) * 3 + 1)):
    for kind, n in (("", counts.sum(0, keepdims=True)), ("channel_", counts)):
        mean = (n * value).sum(1) / n.sum(1)
        means[f"{name}{kind}mean"] = mean
        means[f"{name}{kind}deviation"] = np.sqrt((n * (value - mean[:, None]) ** 2).sum(1) / n.sum(1))
(folder / "means.json").write_text(json.dumps({k: v.tolist() for k, v in means.items()}))
