#!/usr/bin/python3
"""safetensors files by the format's own description, with nothing but struct and json.

safetensors.py write FOLDER   FOLDER/oracle.safetensors and, for each tensor, NAME.bin (floats)
safetensors.py check FILE     stops unless FILE is what safetensors_test.cpp means to write
"""
import json
import random
import struct
import sys
from pathlib import Path


def read(path):
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :], length


def write(folder):
    random.seed(9)
    header, body = {"__metadata__": {"format": "pt", "note": "gr\u00fc\u00dfe"}}, b""
    special = [0.0, -0.0, 1.0, -2.5, float("inf"), float("-inf"), 2.0**-24, 65504.0, 2.0**-14]
    for name, dtype, shape in (("one", "F64", []), ("half", "F16", [7, 31]), ("brain", "BF16", [3, 5, 11]),
                               ("none", "F32", [4, 0]), ("bytes", "U8", [3]), ("whole", "F32", [1009, 331])):
        count = 1
        for extent in shape:
            count *= extent
        values = (special + [random.uniform(-4, 4) for _ in range(count)])[:count]
        if dtype == "U8":
            raw = bytes(range(count))
        elif dtype == "BF16":
            raw = b"".join(struct.pack("<f", v)[2:] for v in values)
        else:
            raw = struct.pack(f"<{count}" + {"F64": "d", "F16": "e", "F32": "f"}[dtype], *values)
        if dtype == "F16":
            values = struct.unpack(f"<{count}e", raw)
        if dtype == "BF16":
            values = [struct.unpack("<f", b"\0\0" + raw[2 * i : 2 * i + 2])[0] for i in range(count)]
        if dtype != "U8":
            (folder / f"{name}.bin").write_bytes(struct.pack(f"<{count}f", *values))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    # The order in the header is not that of the data, and its length leaves the data unaligned.
    header = dict(reversed(header.items()))
    text = json.dumps(header).encode() + b"   "
    text += b" " * (1 - len(text) % 2)
    (folder / "oracle.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)


def check(file):
    header, body, length = read(file)
    assert length % 8 == 0, length
    assert header.pop("__metadata__") == {"format": "pt"}
    assert list(header) == ["b.weight", "a", "empty"], list(header)
    assert [header[n]["shape"] for n in header] == [[3, 7], [], [0]]
    at = 0
    for i, (name, tensor) in enumerate(header.items()):
        assert tensor["dtype"] == "F32"
        begin, end = tensor["data_offsets"]
        assert begin == at, (name, begin, at)
        values = struct.unpack(f"<{(end - begin) // 4}f", body[begin:end])
        assert list(values) == [100 * i + j / 4 for j in range(len(values))], (name, values)
        at = end
    assert at == len(body)


if sys.argv[1] == "write":
    write(Path(sys.argv[2]))
else:
    check(sys.argv[2])
