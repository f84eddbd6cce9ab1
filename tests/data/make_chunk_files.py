#!/usr/bin/python3
"""Chunked datasets with every filter, as h5py writes and reads them, and their values as plain little-endian bytes.

make_chunk_files.py FOLDER: FOLDER/NAME.h5 has datasets of [103, 3, 5]; FOLDER/chunks.txt has a line for each, "file
dataset dtype way", and FOLDER/file.dataset.bin its values. way: part of the text that says how it must be read.
"""
import ctypes
import os
import struct
import sys
from pathlib import Path

PLUGINS = "/usr/lib/x86_64-linux-gnu/hdf5/serial/plugins"
os.environ.setdefault("HDF5_PLUGIN_PATH", PLUGINS)

import h5py
import numpy as np

folder = Path(sys.argv[1])
rng = np.random.default_rng(11)
N, SAMPLE = 103, (3, 5)
listing = open(folder / "chunks.txt", "w")


def values(dtype, shape=(N,) + SAMPLE):
    dtype = np.dtype(dtype)
    v = rng.integers(0, 5, shape)  # packs well
    v[shape[0] // 3 : shape[0] // 2] = rng.integers(-2**15, 2**15, v[shape[0] // 3 : shape[0] // 2].shape)
    return (v / 3 if dtype.kind == "f" else v % 251).astype(dtype)


def dump(file, name, array):
    array = np.ascontiguousarray(array)
    array.astype(array.dtype.newbyteorder("<")).tofile(folder / f"{file}.{name}.bin")


def told(file, name, dataset, way):
    dump(file, name, dataset[...])
    kind = np.dtype(dataset.dtype)
    print(file, name, f"{kind.kind}{8 * kind.itemsize}", way.replace(" ", "~"), file=listing)


# HDF5's own filters and lzf, in both byte orders, on chunks of every kind.
GRIDS = {"rows": (7, 3, 5), "one": (1, 3, 5), "all": (103, 3, 5), "cut": (10, 2, 2), "long": (64, 1, 5),
         "deep": (5, 3, 4)}
FILTERS = {"none": {}, "gzip": {"compression": "gzip"}, "shuffle": {"shuffle": True},
           "shuffle_gzip": {"compression": "gzip", "shuffle": True}, "fletcher": {"fletcher32": True},
           "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
           "lzf": {"compression": "lzf", "shuffle": True}}
for libver, file in (("earliest", "own"), ("latest", "latest")):
    with h5py.File(folder / f"{file}.h5", "w", libver=libver, userblock_size=512 if libver == "earliest" else 0) as f:
        for grid, chunks in GRIDS.items():
            for filters, options in FILTERS.items():
                for dtype in ("<i2", ">f4", "u1", ">f8") if grid in ("rows", "cut") else ("<f4",):
                    name = f"{grid}_{filters}_{np.dtype(dtype).str.replace('<', 'l').replace('>', 'b').replace('|', 'n')}"
                    d = f.create_dataset(name, data=values(dtype), chunks=chunks, **options)
                    if libver == "earliest":
                        told(file, name, d, "its B-tree")
                    else:
                        told(file, name, d, "HDF5" if filters == "none" else "H5Dread_chunk")

# Chunks that were never written, with fill values; in both byte orders; and datasets that grew.
with h5py.File(folder / "absent.h5", "w") as f:
    for dtype in ("<u2", ">i4", ">f8"):
        for filters in ("none", "gzip"):
            name = f"{filters}_{np.dtype(dtype).str.replace('<', 'l').replace('>', 'b')}"
            d = f.create_dataset(name, (N,) + SAMPLE, dtype, chunks=(7, 2, 5), fillvalue=513, **FILTERS[filters])
            d[20:50, 1:] = values(dtype)[20:50, 1:]
            told("absent", name, d, "its B-tree")
    d = f.create_dataset("grown", (10,) + SAMPLE, "<i4", chunks=(4,) + SAMPLE, maxshape=(None,) + SAMPLE)
    d.resize(N, 0)
    d[60:] = values("<i4")[60:]
    told("absent", "grown", d, "its B-tree")
    d = f.create_dataset("never", (N,) + SAMPLE, "<i4", chunks=(4,) + SAMPLE, compression="gzip", fillvalue=7)
    told("absent", "never", d, "its B-tree")

# Bytes made here: LZ4 in blocks, Zstandard, the old order of fletcher32, and filters that some chunks did without.
lz4, zstd = ctypes.CDLL("liblz4.so.1"), ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_compress.restype = ctypes.c_size_t


def pack_lz4(raw, block):
    out = struct.pack(">QI", len(raw), block)
    for at in range(0, len(raw), block):
        part = raw[at : at + block]
        buffer = ctypes.create_string_buffer(len(part) * 2 + 64)
        size = lz4.LZ4_compress_default(part, buffer, len(part), len(buffer))
        stored = buffer.raw[:size] if size < len(part) else part
        out += struct.pack(">I", len(stored)) + stored
    return out


def pack_zstd(raw):
    buffer = ctypes.create_string_buffer(len(raw) * 2 + 512)
    size = zstd.ZSTD_compress(buffer, ctypes.c_size_t(len(buffer)), raw, ctypes.c_size_t(len(raw)), 3)
    return buffer.raw[:size]


def direct(f, name, dtype, filters, pack):
    """A dataset of chunks (9, 3, 5) that pack(bytes of a chunk, its number) gives as (bytes, filter mask)."""
    v = values(dtype)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((9,) + SAMPLE)
    for number in filters:
        if number == h5py.h5z.FILTER_SHUFFLE:
            plist.set_shuffle()
        elif number == h5py.h5z.FILTER_FLETCHER32:
            plist.set_fletcher32()
        elif number == h5py.h5z.FILTER_DEFLATE:
            plist.set_deflate(6)
        else:
            plist.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
    d = h5py.h5d.create(f.id, name.encode(), h5py.h5t.py_create(v.dtype), h5py.h5s.create_simple(v.shape), plist)
    for i, first in enumerate(range(0, N, 9)):
        chunk = np.zeros((9,) + SAMPLE, v.dtype)
        chunk[: len(v[first : first + 9])] = v[first : first + 9]
        raw, mask = pack(chunk.tobytes(), i)
        d.write_direct_chunk((first, 0, 0), raw, mask)
    return d, v


def shuffled(raw, size):
    return np.frombuffer(raw, "u1").reshape(-1, size).T.tobytes()


def fletcher(raw, old):
    words = np.frombuffer(raw + b"\0" * (len(raw) % 2), ">u2").astype("u8")
    low = high = 0
    for w in words.tolist():
        low = (low + w) % 65535
        high = (high + low) % 65535
    low, high = (low or 65535 if words.any() else 0), (high or 65535 if words.any() else 0)
    if old:
        low, high = (low >> 8 | low << 8) & 65535, (high >> 8 | high << 8) & 65535
    return raw + struct.pack("<I", high << 16 | low)


import zlib

with h5py.File(folder / "direct.h5", "w") as f:
    cases = [("lz4", "<i2", [32004], lambda r, i: (pack_lz4(r, 1 << 30 if i % 2 else 100), 0)),
             ("lz4_shuffle", ">f4", [2, 32004], lambda r, i: (pack_lz4(shuffled(r, 4), len(r)), 0)),
             ("zstd", "<f4", [32015], lambda r, i: (pack_zstd(r), 0)),
             ("zstd_all", ">f8", [2, 32015, 3], lambda r, i: (fletcher(pack_zstd(shuffled(r, 8)), i % 2), 0)),
             ("old_sum", "u1", [3], lambda r, i: (fletcher(r, True), 0)),
             ("sum_inside", "<i4", [3, 1], lambda r, i: (zlib.compress(fletcher(r, False)), 0)),
             ("odd_sum", "u1", [1, 3], lambda r, i: (fletcher(zlib.compress(r), False), 0)),
             ("skips", "<i4", [2, 1], lambda r, i: ((zlib.compress(shuffled(r, 4)), 0), (shuffled(r, 4), 2), (r, 3))[i % 3])]
    for name, dtype, filters, pack in cases:
        d, v = direct(f, name, dtype, filters, pack)
        if not name.startswith("zstd"):  # Debian has no plugin for it
            assert (f[name][...] == v).all(), name
        dump("direct", name, v)
        kind = np.dtype(dtype)
        print("direct", name, f"{kind.kind}{8 * kind.itemsize}", "its~B-tree", file=listing)

# What HDF5 itself reads: its own filters that are not undone here, and plugins.
with h5py.File(folder / "hdf5.h5", "w") as f:
    chunks = (7,) + SAMPLE
    f.create_dataset("szip", data=values("<u2"), chunks=chunks, compression="szip")
    f.create_dataset("scaleoffset", data=values(">i4"), chunks=chunks, scaleoffset=0)
    f.create_dataset("bzip2", data=values("<f4"), chunks=chunks, compression=307, compression_opts=(9,))
    f.create_dataset("blosc", data=values(">f4"), chunks=chunks, compression=32001,
                     compression_opts=(0, 0, 0, 0, 5, 1, 0))
    f.create_dataset("zfp", data=values("<f4"), chunks=chunks, compression=32013,  # accuracy 0.01
                     compression_opts=(3, 0) + struct.unpack("<II", struct.pack("<d", 0.01)))
    for name in f:
        told("hdf5", name, f[name], "HDF5: its filter " + name)
# The same bytes under a filter that nobody has.
with h5py.File(folder / "unknown.h5", "w") as f:
    direct(f, "x", "<f4", [32099], lambda r, i: (r, 0))

# One sample a dataset, and several cut out of one: values in the order of blocks.
volume = rng.integers(0, 1000, (8, 12, 10, 2)).astype(">i2")
with h5py.File(folder / "volumes.h5", "w") as f:
    for name, options in (("contiguous", {}), ("plain", {"chunks": (3, 5, 4, 2)}), ("thin", {"chunks": (8, 1, 10, 1)}),
                          ("gzip", {"chunks": (4, 6, 5, 2), "compression": "gzip", "shuffle": True}),
                          ("odd", {"chunks": (5, 7, 3, 2), "compression": "gzip"})):
        f.create_dataset(name, data=volume, **options)
dump("volumes", "sample", volume)
dump("volumes", "blocks", volume.reshape(2, 4, 3, 4, 2, 5, 2).transpose(0, 2, 4, 1, 3, 5, 6))

# A tree of several levels, whose chunks are in no order in the file.
many = rng.integers(0, 255, (20011, 2)).astype("u1")
with h5py.File(folder / "many.h5", "w") as f:
    d = f.create_dataset("x", many.shape, "u1", chunks=(1, 2))
    for i in rng.permutation(len(many)).tolist():
        d.id.write_direct_chunk((i, 0), many[i].tobytes())
dump("many", "x", many)

# Places of chunks, for tests that damage them.
with h5py.File(folder / "broken.h5", "w") as f, open(folder / "broken.txt", "w") as t:
    made = [("gzip", f.create_dataset("gzip", data=values("<i2"), chunks=(20, 3, 5), compression="gzip").id),
            ("sum", f.create_dataset("sum", data=values("<i2"), chunks=(20, 3, 5), fletcher32=True).id),
            ("lz4", direct(f, "lz4", "<i4", [32004, 3], lambda r, i: (fletcher(pack_lz4(r, 200), 0), 0))[0]),
            ("zstd", direct(f, "zstd", "<i4", [32015, 3], lambda r, i: (fletcher(pack_zstd(r), 0), 0))[0]),
            ("lzf", f.create_dataset("lzf", data=values("<i2"), chunks=(20, 3, 5), compression="lzf",
                                     fletcher32=True).id)]
    f.flush()
    for name, d in made:
        for i in (0, 2):
            info = d.get_chunk_info(i)
            print(name, info.chunk_offset[0], info.byte_offset, info.size, file=t)
listing.close()
