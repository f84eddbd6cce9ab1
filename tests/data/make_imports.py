#!/usr/bin/python3
"""Files for the tests of import, written by independent libraries, and what must come of them.

make_imports.py FOLDER: FOLDER/cases.json lists imports; each has either the fields it must give, as
plain little-endian bytes in FOLDER, or the words of its refusal.
"""
import csv
import gzip
import io
import json
import math
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from scipy.io import netcdf_file

folder = Path(sys.argv[1])
rng = np.random.default_rng(11)
dice = random.Random(5)
N = 101  # prime
cases = []


def path(name):
    return str(folder / name)


def case(name, options, fields=None, refused=None, train=None, test=None):
    """fields: {name: array} of the train split; test_fields likewise, under 'test'."""
    entry = {"name": name, "options": options}
    if refused is not None:
        entry["refused"] = refused
    for split, arrays in (("train", fields), ("test", test)):
        for field, array in (arrays or {}).items():
            array = np.asarray(array)
            file = f"{name}.{split}.{field}.bin"
            array.astype(array.dtype.newbyteorder("<")).tofile(folder / file)
            kind = {"f": "f", "i": "i", "u": "u", "b": "u"}[array.dtype.kind]
            entry.setdefault("splits", {}).setdefault(split, {})[field] = {
                "file": file, "type": kind + str(8 * array.dtype.itemsize), "shape": list(array.shape)}
    cases.append(entry)


def numbers(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype.newbyteorder("="), endpoint=True).astype(dtype)


labels = rng.integers(0, 7, N).astype("u1")

# NumPy: every type, both byte orders, both orders of dimensions, all formats of the header.
np.save(path("y.npy"), labels)
versions = [(1, 0), (2, 0), (3, 0)]
for order in "<>":
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        for layout in "CF":
            name = f"npy_{'little' if order == '<' else 'big'}_{kind}_{layout}"
            x = np.array(numbers(order + kind, (N, 3, 5)), order=layout)
            with open(path(name + ".npy"), "wb") as f:
                np.lib.format.write_array(f, x, version=versions[len(cases) % 3])
            case(name, {"train": [name + ".npy", "y.npy"], "chunk_bytes": 700},
                 {"x": x.astype("u1") if kind == "b1" else x, "label": labels})
wide = np.asfortranarray(numbers("f4", (37, 1 << 18)))  # more than a band of 32 MiB
np.save(path("wide.npy"), wide)
case("npy_wide_columns", {"train": ["wide.npy"], "chunk_bytes": 3 << 20}, {"x": wide})
np.save(path("one.npy"), numbers("f4", (1,)))
case("npy_one", {"train": ["one.npy"]}, {"x": np.load(path("one.npy"))})
target = numbers("f8", (N, 2))
np.save(path("target.npy"), target)
np.save(path("x.npy"), numbers("f4", (N, 4)))
case("npy_values", {"train": ["x.npy", "target.npy"], "kind": "value", "deflate": 4, "chunk_bytes": 100},
     {"x": np.load(path("x.npy")), "target": target})
case("npy_test", {"train": ["x.npy", "y.npy"], "test": ["x.npy", "y.npy"]},
     {"x": np.load(path("x.npy")), "label": labels}, test={"x": np.load(path("x.npy")), "label": labels})
with gzip.open(path("packed.npy.gz"), "wb") as f:
    np.save(f, np.load(path("x.npy")))
case("npy_gzip", {"train": ["packed.npy.gz"], "chunk_bytes": 100}, {"x": np.load(path("x.npy"))})


def damaged(name, source, change, options=None, refused=(), error="DataError"):
    data = bytearray(Path(path(source)).read_bytes())
    data = change(data)
    Path(path(name)).write_bytes(bytes(data))
    case("damaged_" + name, {"train": [name], **(options or {})}, refused=[error, name, *refused])


def flipped(at):
    def change(data):
        data[at] ^= 0x10
        return data
    return change


damaged("cut.npy", "x.npy", lambda d: d[:-20], refused=["ends in row 99 of 101"])
damaged("cut_header.npy", "x.npy", lambda d: d[:40], refused=["header"])
damaged("longer.npy", "x.npy", lambda d: d + b"12", refused=["more bytes"])
damaged("empty.npy", "x.npy", lambda d: d[:0], refused=["empty"])
damaged("magic.npy", "x.npy", flipped(1), refused=["other bytes"])
damaged("version.npy", "x.npy", flipped(6), refused=["format"])
damaged("cut.npy.gz", "packed.npy.gz", lambda d: d[:-30], refused=["gzip"])
for name, array, words in (("text", np.array(["a", "b"]), ["type"]), ("complex", np.zeros(3, "c8"), ["type"]),
                           ("none", np.zeros((0, 3)), ["no samples"]), ("scalar", np.array(3.0), ["one number"]),
                           ("rows", np.zeros(3, "i4,f4"), ["several types"])):
    np.save(path(f"bad_{name}.npy"), array)
    case(f"npy_bad_{name}", {"train": [f"bad_{name}.npy"]}, refused=["DataError", f"bad_{name}.npy", *words])
case("npy_unequal", {"train": ["x.npy", "one.npy"]}, refused=["DataError", "x.npy", "101", "one.npy", "1"])
case("npy_float_label", {"train": ["x.npy", "target.npy"]}, refused=["UserError", "target.npy", "--target-kind value"])
np.save(path("negative.npy"), np.where(np.arange(N) == 55, -3, 1))
case("npy_negative", {"train": ["x.npy", "negative.npy"]}, refused=["DataError", "negative.npy: row 55", "-3"])
case("npy_absent", {"train": ["nowhere.npy"]}, refused=["UserError", "nowhere.npy"])

# Missing numbers.
holes = numbers("f4", (N, 3))
holes[7, 1] = holes[70, 2] = np.nan
holes[100, 0] = np.inf
np.save(path("holes.npy"), holes)
good = np.isfinite(holes).all(axis=1)
case("missing_error", {"train": ["holes.npy", "y.npy"], "chunk_bytes": 64},
     refused=["DataError", "holes.npy: row 7", "element 1"])
case("missing_drop", {"train": ["holes.npy", "y.npy"], "missing": "drop", "chunk_bytes": 64},
     {"x": holes[good], "label": labels[good]})
case("missing_value", {"train": ["holes.npy", "y.npy"], "missing": "-2.5", "chunk_bytes": 64},
     {"x": np.where(np.isfinite(holes), holes, np.float32(-2.5)), "label": labels})
means = np.array([math.fsum(c[np.isfinite(c)].tolist()) / np.isfinite(c).sum() for c in holes.T.astype("f8")])
case("missing_mean", {"train": ["holes.npy", "y.npy"], "missing": "mean", "chunk_bytes": 64},
     {"x": np.where(np.isfinite(holes), holes, means.astype("f4")), "label": labels})
case("missing_what", {"train": ["holes.npy"], "missing": "median"}, refused=["UserError", "median", "drop"])
np.save(path("all_holes.npy"), np.full((4, 2), np.nan))
case("missing_all", {"train": ["all_holes.npy"], "missing": "drop"}, refused=["DataError", "all_holes.npy", "none"])

# npz.
x, y = numbers("i2", (N, 2, 3)), rng.integers(0, 300, N)
np.savez(path("stored.npz"), x=x, y=y)
np.savez_compressed(path("deflated.npz"), x=np.asfortranarray(x), y=y)
for name in ("stored", "deflated"):
    case(f"npz_{name}", {"train": [name + ".npz"], "chunk_bytes": 200}, {"x": x, "y": y})
np.savez(path("mnist.npz"), x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])
case("npz_splits", {"train": ["mnist.npz"]}, {"x": x[:90], "y": y[:90]}, test={"x": x[90:], "y": y[90:]})
np.savez_compressed(path("named.npz"), height=x, weight=numbers("f4", N), kind=y)
case("npz_named", {"train": ["named.npz"], "inputs": ["weight", "height"], "target": "kind"},
     {"weight": np.load(path("named.npz"))["weight"], "height": x, "kind": y})
case("npz_unnamed", {"train": ["named.npz"]}, refused=["UserError", "named.npz", "height, weight, kind"])
case("npz_no_member", {"train": ["stored.npz"], "inputs": ["z"]}, refused=["UserError", '"z"', "x, y"])
damaged("cut.npz", "stored.npz", lambda d: d[:-30], refused=["directory"])
damaged("flipped_stored.npz", "stored.npz", flipped(400), refused=["x.npy", "checksum"])
damaged("flipped_deflated.npz", "deflated.npz", flipped(400), refused=["damaged"])
damaged("empty.npz", "stored.npz", lambda d: d[:0], refused=["no zip"])
with zipfile.ZipFile(path("bzip.npz"), "w", zipfile.ZIP_BZIP2) as z:
    z.writestr("x.npy", Path(path("x.npy")).read_bytes())
case("npz_bzip", {"train": ["bzip.npz"]}, refused=["DataError", "method 12"])

# Raw numbers.
x = numbers(">f4", (N, 3, 4, 2))
for i, part in enumerate((x[:40], x[40:41], x[41:])):
    Path(path(f"part{i}.raw")).write_bytes(b"header 7 " + part.tobytes())
raw = {"format": "raw", "type": "f32", "shape": "3,4,2", "order": "big", "skip": 9, "chunk_bytes": 1000}
case("raw_files", {"train": [f"part{i}.raw" for i in range(3)], **raw}, {"x": x})
record = np.zeros(N, [("label", "u1"), ("image", "<i2", (4, 3)), ("depth", "<f8")])
record["label"], record["image"], record["depth"] = labels, numbers("i2", (N, 4, 3)), numbers("f8", N)
record.tofile(path("records.raw"))
with gzip.open(path("records.raw.gz"), "wb") as f:
    f.write(record.tobytes())
for name in ("records.raw", "records.raw.gz"):
    case(name, {"train": [name], "format": "raw", "record": "label:u8 image:i16:4x3 depth:f64", "chunk_bytes": 250},
         {field: record[field] for field in record.dtype.names})
case("raw_uneven", {"train": ["part0.raw"], **raw, "skip": 8}, refused=["DataError", "part0.raw", "multiple"])
case("raw_untyped", {"train": ["part0.raw"], "format": "raw"}, refused=["UserError", "--type"])
case("raw_shape", {"train": ["part0.raw"], **raw, "shape": "3,,2"}, refused=["UserError", "shape"])
case("raw_record", {"train": ["part0.raw"], "format": "raw", "record": "x:f33"}, refused=["UserError", "f33"])
Path(path("nothing.raw")).write_bytes(b"")
case("raw_empty", {"train": ["nothing.raw"], "format": "raw", "type": "u8"}, refused=["DataError", "nothing.raw", "0 bytes"])

# IDX, over ranks.
images = numbers("u1", (N, 5, 3))
idx = bytes([0, 0, 8, 3]) + struct.pack(">3I", *images.shape) + images.tobytes()
Path(path("images-idx3")).write_bytes(idx)
with gzip.open(path("images-idx3.gz"), "wb") as f:
    f.write(idx)
Path(path("labels-idx1")).write_bytes(bytes([0, 0, 8, 1]) + struct.pack(">I", N) + labels.tobytes())
for name in ("images-idx3", "images-idx3.gz"):
    case("idx_" + name, {"train": [name, "labels-idx1"], "chunk_bytes": 50}, {"image": images, "label": labels})


# CSV: blocks of 1 MiB end anywhere, in cells whose quotes hide line ends and quotes.
def cell(text, separator):
    if dice.random() < 0.4 or any(c in text for c in separator + "\n\r") or text.startswith('"'):
        return '"' + text.replace('"', '""') + '"'
    return text


def csv_case(name, rows, separator, noise, options=None, gz=False):
    lines = [separator.join(("id", "note", "a", "b", "kind"))]
    words = ["plain", 'says "no"', 'five" pipe', "two\nlines", "a" + separator + "b", '""', "", "x\r\ny", noise]
    for i in range(rows):
        line = [str(i), dice.choice(words), repr(dice.gauss(0, 1)), str(dice.randrange(-9, 9)), dice.choice("zyx")]
        lines.append(separator.join(cell(c, separator) for c in line))
        if dice.random() < 0.01:
            lines.append("")
    text = "".join(line + dice.choice(["\n", "\r\n", "\r" if not lines[i + 1:i + 2] == [""] else "\n"])
                   for i, line in enumerate(lines))
    file = name + (".csv.gz" if gz else ".csv")
    data = text.encode()
    Path(path(file)).write_bytes(gzip.compress(data, 1) if gz else data)
    read = [r for r in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if r][1:]
    features = np.array([[r[0], r[2], r[3]] for r in read]).astype("f4")
    kinds = np.array(["xyz".index(r[4]) for r in read], "u1")
    case(name, {"train": [file], **(options or {})}, {"features": features, "label": kinds})


csv_case("csv_small", 23, ",", "s", {"chunk_bytes": 60})
csv_case("csv_blocks", 9000, ",", "n" * 1200 + "\n")
csv_case("csv_semicolon", 500, ";", "x,y,z")
csv_case("csv_tab", 500, "\t", "x")
csv_case("csv_stated", 50, "~", "x", {"separator": "~"})
csv_case("csv_gzip", 2000, ",", "n" * 1500, gz=True)
# A quote that opens and holds almost all of the file.
Path(path("one_cell.csv")).write_text('a,n,y\n1,"' + 'many\n"" lines,' * 200000 + '",0\n2,b,1\n')
case("csv_one_cell", {"train": ["one_cell.csv"]}, {"features": np.array([[1], [2]], "f4"), "label": np.array([0, 1], "u1")})
Path(path("open.csv")).write_text("a,n,y\n" + "1,x,0\n" * 300000 + '2,"b,1\n' + "1,x,0\n" * 300000)
case("csv_open_quote", {"train": ["open.csv"]}, refused=["DataError", "open.csv", "line 300002", "never closed"])
Path(path("bad.csv")).write_text("a,y\n" + "1,0\n" * 400000 + "7x,0\n" + "8x,0\n" * 9)
case("csv_bad_cell", {"train": ["bad.csv"]}, refused=["DataError", "bad.csv: line 400002", '"a"', '"7x"'])
Path(path("uneven.csv")).write_text("a,y\n" + "1,0\n" * 400000 + "7,0,1\n")
case("csv_uneven", {"train": ["uneven.csv"]}, refused=["DataError", "line 400002", "3 cells"])
Path(path("missing.csv")).write_text("a,b,y\n1,2,u\n,3,v\n5,NA,u\n6,7,?\n8,9,v\n")
missing = {"train": ["missing.csv"]}
case("csv_missing", missing, refused=["DataError", "line 3", '"a"', "empty"])
case("csv_missing_drop", {**missing, "missing": "drop"},
     {"features": np.array([[1, 2], [8, 9]], "f4"), "label": np.array([0, 1], "u1")})
case("csv_missing_class", {**missing, "missing": "0"}, refused=["DataError", "line 5", '"y"', "--missing drop"])
Path(path("sentinel.csv")).write_text("a,b,y\n1,2,.5\n-99,3,1\n3,-99,2\n")
case("csv_sentinel", {"train": ["sentinel.csv"], "kind": "value", "missing": "mean", "missing_cells": ["-99"]},
     {"features": np.array([[1, 2], [2, 3], [3, 2.5]], "f4"), "target": np.array([0.5, 1, 2], "f4")})
case("csv_cells_alone", {"train": ["sentinel.csv"], "missing_cells": ["-99"]}, refused=["UserError", "--missing"])
case("csv_inputs", {"train": ["sentinel.csv"], "kind": "value", "inputs": ["b"]},
     {"features": np.array([[2], [3], [-99]], "f4"), "target": np.array([0.5, 1, 2], "f4")})
case("csv_no_input", {"train": ["sentinel.csv"], "inputs": ["c"]}, refused=["UserError", '"c"', "a, b, y"])

# JSON lines.
rows = [{"a": dice.gauss(0, 1), "flag": dice.random() < 0.5, "list": [dice.gauss(0, 1) for _ in range(3)],
         "grid": [[dice.randrange(99) for _ in range(2)] for _ in range(4)], "name": "n\u00e4me \"q\"",
         "label": dice.choice(["b", "a", "\u00fc"])} for _ in range(3 * N)]


def write_lines(name, objects, end="\n"):
    text = "".join(json.dumps(o, ensure_ascii=dice.random() < 0.5) + end + dice.choice(["", "  " + end]) for o in objects)
    Path(path(name)).write_text(text, newline="")


write_lines("a.jsonl", rows)
write_lines("b.jsonl", rows, "\r\n")
order = sorted({r["label"] for r in rows}, key=lambda s: s.encode())
fields = {"features": np.array([[r["a"], r["flag"]] for r in rows], "f4"),
          "list": np.array([r["list"] for r in rows], "f4"), "grid": np.array([r["grid"] for r in rows], "f4"),
          "label": np.array([order.index(r["label"]) for r in rows], "u1")}
for name in "ab":
    case("jsonl_" + name, {"train": [name + ".jsonl"], "chunk_bytes": 333}, fields)
case("jsonl_f64", {"train": ["a.jsonl"], "inputs": ["list"], "type": "f64"},
     {"list": np.array([r["list"] for r in rows]), "label": fields["label"]})
case("jsonl_i32", {"train": ["a.jsonl"], "inputs": ["grid"], "type": "i32"},
     {"grid": fields["grid"].astype("i4"), "label": fields["label"]})
case("jsonl_fraction", {"train": ["a.jsonl"], "inputs": ["list"], "type": "i32"},
     refused=["DataError", "a.jsonl: line 1", '"list"', "i32"])
many = [{"v": i, "y": i % 5} for i in range(150000)]
Path(path("many.jsonl")).write_text("".join(json.dumps(o) + " " * (i % 9) + "\n" for i, o in enumerate(many)))
case("jsonl_blocks", {"train": ["many.jsonl"]}, {"features": np.arange(150000, dtype="f4")[:, None],
                                                 "label": (np.arange(150000) % 5).astype("u1")})
Path(path("bad.jsonl")).write_text("".join(json.dumps(o) + "\n" for o in many[:99000]) + '{"v": 1, "y"\n{"v":')
case("jsonl_bad", {"train": ["bad.jsonl"]}, refused=["DataError", "bad.jsonl: line 99001", "no JSON"])
Path(path("holes.jsonl")).write_text('{"v": 1, "w": 2, "y": 0.5}\n{"v": null, "w": 4, "y": 1}\n{"w": "NA", "v": 5, "y": 2}\n')
case("jsonl_holes", {"train": ["holes.jsonl"], "kind": "value"}, refused=["DataError", "holes.jsonl: line"])
case("jsonl_filled", {"train": ["holes.jsonl"], "kind": "value", "missing": "mean"},
     {"features": np.array([[1, 2], [3, 4], [5, 3]], "f4"), "target": np.array([0.5, 1, 2], "f4")})
Path(path("short.jsonl")).write_text('{"v": [1, 2], "y": 0}\n{"v": [1], "y": 1}\n')
case("jsonl_short", {"train": ["short.jsonl"]}, refused=["DataError", "line 2", '"v"', "2"])
Path(path("empty.jsonl")).write_text("\n \n")
case("jsonl_empty", {"train": ["empty.jsonl"]}, refused=["DataError", "empty.jsonl", "empty"])


# PNG.
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png16(file, image):  # RGB of 16 bits, which PIL does not write
    height, width, _ = image.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in image)
    Path(file).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 16, 2, 0, 0, 0)) +
                           chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def png_folder(name, arrays, save):
    """arrays: {class: [image]}; the samples in the order in which they are imported."""
    placed = []
    for c, kind in enumerate(sorted(arrays)):
        (folder / name / kind).mkdir(parents=True)
        for i, image in enumerate(arrays[kind]):
            save(path(f"{name}/{kind}/{i:04}.png"), image)
            placed.append(((i + 0.5) / len(arrays[kind]), c, i, image))
    placed.sort(key=lambda p: p[:3])
    return np.array([p[3] for p in placed]), np.array([p[1] for p in placed], "u1")


def save_pil(mode=None):
    return lambda file, image: Image.fromarray(image, mode).save(file)


sizes = {"cat": 5, "dog": 13, "ant": 2}
forms = {"grey": ("u1", (7, 5), save_pil()), "colour": ("u1", (4, 3, 3), save_pil()),
         "grey16": ("u2", (5, 9), save_pil("I;16")), "colour16": ("u2", (3, 8, 3), write_png16)}
for form, (dtype, shape, save) in forms.items():
    pixels, kinds = png_folder("png_" + form, {k: numbers(dtype, (n, *shape)) for k, n in sizes.items()}, save)
    case("png_" + form, {"train": ["png_" + form], "chunk_bytes": 150}, {"image": pixels, "label": kinds})
png_folder("png_size", {k: numbers("u1", (n, 7, 5)) for k, n in sizes.items()}, save_pil())
Image.fromarray(numbers("u1", (7, 6))).save(path("png_size/dog/0005x.png"))
case("png_size", {"train": ["png_size"]}, refused=["DataError", "dog/0005x.png", "7x6", "7x5"])
bits = {k: numbers("?", (n, 6, 10)) for k, n in sizes.items()}
pixels, kinds = png_folder("png_bits", bits, lambda f, i: Image.fromarray(i).convert("1").save(f, bits=1))
case("png_bits", {"train": ["png_bits"]}, {"image": pixels.astype("u1") * np.uint8(255), "label": kinds})
palette = {k: [Image.fromarray(numbers("u1", (6, 4, 3))).quantize(9) for _ in range(n)] for k, n in sizes.items()}
pixels, kinds = png_folder("png_palette", {k: [np.array(i.convert("RGB")) for i in v] for k, v in palette.items()},
                           lambda file, image: None)
for kind, images in palette.items():
    for i, image in enumerate(images):
        image.save(path(f"png_palette/{kind}/{i:04}.PNG"), "PNG")
case("png_palette", {"train": ["png_palette"]}, {"image": pixels, "label": kinds})
alpha = {k: numbers("u1", (n, 4, 4, 4)) for k, n in sizes.items()}
pixels, kinds = png_folder("png_alpha", alpha, save_pil())
case("png_alpha", {"train": ["png_alpha"]}, refused=["DataError", "png_alpha/", "--alpha drop"])
case("png_alpha_dropped", {"train": ["png_alpha"], "drop_alpha": True}, {"image": pixels[..., :3], "label": kinds})
for name, change in (("cut", lambda d: d[:-40]), ("flipped", flipped(60)), ("text", lambda d: b"GIF89a....."), ("empty", lambda d: b"")):
    pixels, kinds = png_folder("png_" + name, {k: numbers("u1", (n, 9, 9)) for k, n in sizes.items()}, save_pil())
    file = Path(path(f"png_{name}/dog/0007.png"))
    file.write_bytes(bytes(change(bytearray(file.read_bytes()))))
    case("png_" + name, {"train": ["png_" + name]}, refused=["DataError", "dog/0007.png", "damaged"])
(folder / "png_none").mkdir()
case("png_none", {"train": ["png_none"]}, refused=["DataError", "png_none", "no folders"])

# NetCDF: classic with 32 and 64 bits, CDF-5 and NetCDF-4.
temperature = rng.integers(-300, 300, (N, 4, 6)).astype("i2")
temperature[3, 1, 2] = temperature[90, 0, 0] = -999
salt = numbers("f4", (N, 4, 6, 2))
kind = rng.integers(0, 4, N).astype("i4")
for version in (1, 2):
    with netcdf_file(path(f"cdf{version}.nc"), "w", version=version) as f:
        f.createDimension("time", None)
        for name, size in (("lat", 4), ("lon", 6), ("level", 2)):
            f.createDimension(name, size)
        v = f.createVariable("temp", "i2", ("time", "lat", "lon"))
        v[:] = temperature
        v.scale_factor, v.add_offset = np.float32(0.01), np.float32(273.15)
        v.missing_value, v.units = np.int16(-999), "K"
        v = f.createVariable("salt", "f4", ("time", "lat", "lon", "level"))
        v[:] = salt
        v.units = "psu"
        f.createVariable("kind", "i4", ("time",))[:] = kind
kelvin = (temperature.astype("f8") * np.float64(np.float32(0.01)) + np.float64(np.float32(273.15))).astype("f4")
hole = temperature == -999
subprocess.run(["nccopy", "-k", "cdf5", path("cdf1.nc"), path("cdf5.nc")], check=True)
subprocess.run(["nccopy", "-k", "nc4", "-d", "3", path("cdf1.nc"), path("nc4.nc")], check=True)
names = {"inputs": ["salt", "temp"], "target": "kind", "chunk_bytes": 900}
for name in ("cdf1", "cdf2", "cdf5", "nc4"):
    case("netcdf_" + name, {"train": [name + ".nc"], **names, "missing": "0"},
         {"salt": salt, "temp": np.where(hole, np.float32(0), kelvin), "kind": kind})
case("netcdf_files", {"train": ["cdf1.nc", "nc4.nc"], **names, "missing": "drop"},
     {n: np.concatenate([a[~hole.any(axis=(1, 2))]] * 2) for n, a in (("salt", salt), ("temp", kelvin), ("kind", kind))})
case("netcdf_hole", {"train": ["cdf2.nc"], **names}, refused=["DataError", "cdf2.nc: variable temp, row 3", "element 8"])
case("netcdf_unnamed", {"train": ["cdf1.nc"]}, refused=["UserError", "--input"])
case("netcdf_absent", {"train": ["cdf1.nc"], "inputs": ["wind"]}, refused=["UserError", '"wind"', "temp, salt, kind"])
damaged("cut.nc", "cdf1.nc", lambda d: d[:-5000], {"inputs": ["salt"]})
damaged("flipped.nc", "cdf1.nc", flipped(3), {"inputs": ["salt"]})
damaged("cut_header.nc", "cdf1.nc", lambda d: d[:60], {"inputs": ["salt"]})
damaged("cut4.nc", "nc4.nc", lambda d: d[:-500], {"inputs": ["salt"]})
damaged("empty.nc", "cdf1.nc", lambda d: d[:0], {"inputs": ["salt"]})

(folder / "cases.json").write_text(json.dumps(cases))
