"""scripts/read_rdb.py on a small database written here byte by byte: read_rdb_test.py SCRIPT FOLDER"""
import pathlib
import struct
import subprocess
import sys
import zlib

script, folder = sys.argv[1], pathlib.Path(sys.argv[2])
HEADER = {2: b"X\n" + struct.pack(">iii", 2, 0x30600, 0x20300),
          3: b"X\n" + struct.pack(">iiii", 3, 0x40201, 0x30500, 5) + b"UTF-8"}


def word(value):
    return struct.pack(">i", value)


def characters(text, encoding="utf-8"):
    if text is None:
        return word(9) + word(-1)
    data = text.encode(encoding)
    return word(9 | (4 if encoding == "latin-1" else 8) << 12) + word(len(data)) + data


def strings(values, encoding="utf-8"):
    return word(16) + word(len(values)) + b"".join(characters(v, encoding) for v in values)


def integers(*values):
    return word(13) + word(len(values)) + b"".join(map(word, values))


def named(values, first):
    """A list with names; `first`: the symbol `names` is new to the stream, else it is number 1."""
    symbol = word(1) + characters("names") if first else word(1 << 8 | 255)
    attributes = word(0x402) + symbol + strings(list(values)) + word(254)
    return word(19 | 0x200) + word(len(values)) + b"".join(values.values()) + attributes


objects = {
    "plain": HEADER[2] + strings(["one", "", "three lines in all"]),
    "western": HEADER[3] + strings(["\u00a320,000", "caf\u00e9"], "latin-1"),
    "unicode": HEADER[3] + strings(["\u2014 \u00a35", "\u4e00"]),
    "numbers": HEADER[3] + integers(1, 2, 3),
    "missing": HEADER[3] + strings(["a", None]),
    "closure": HEADER[3] + word(3),
}
folder.mkdir(parents=True, exist_ok=True)
packed, places = b"", {}
for name, data in objects.items():
    piece = struct.pack(">I", len(data)) + zlib.compress(data)
    places[name] = integers(len(packed), len(piece))
    packed += piece
# The inner list's `names` is written after the outer list's values but before the outer attributes.
index = named({"variables": named(places, True), "references": named({}, False),
               "compressed": word(10) + word(1) + word(1)}, False)
(folder / "tiny.rdx").write_bytes(zlib.compress(HEADER[3] + index))
(folder / "tiny.rdb").write_bytes(packed)


def run():
    return subprocess.run([sys.executable, script, folder / "tiny", folder / "out"], capture_output=True, text=True)


result = run()
assert result.returncode == 0, result.stderr
assert "'closure' left out: objects of type 3" in result.stderr, result.stderr
written = {p.stem: p.read_bytes().decode() for p in (folder / "out").glob("*.txt")}
assert written == {"plain": "one\n\nthree lines in all\n", "western": "\u00a320,000\ncaf\u00e9\n",
                   "unicode": "\u2014 \u00a35\n\u4e00\n"}, written
for cut in (packed[:-3], packed[:9] + bytes([packed[9] ^ 64]) + packed[10:]):
    (folder / "tiny.rdb").write_bytes(cut)
    assert run().returncode != 0, "a damaged database was read"
print("ok")
