#!/usr/bin/env python3
"""Writes the character vectors of an R package's lazy-load database as text files, without R.

    read_rdb.py FOLDER/NAME OUT      reads FOLDER/NAME.rdx and NAME.rdb, writes OUT/<vector>.txt

NAME.rdx is the compressed index {variables: {name: (offset, bytes)}, ...}; at each offset NAME.rdb holds
the unpacked size (4 bytes, big-endian) and zlib data of one serialised object. The format is that of the
manual "R Internals", section "Serialization Formats" (XDR form, versions 2 and 3). Other objects than
character vectors are left out.
"""
import pathlib
import struct
import sys
import zlib

SYMBOL, PAIRS, CHARACTERS, LOGICALS, INTEGERS, REALS, STRINGS, LIST = 1, 2, 9, 10, 13, 14, 16, 19
REFERENCE, NOTHING = 255, 254


class Reader:
    """One serialised object; pairlists and named lists become dictionaries."""

    def __init__(self, data):
        self.data, self.at, self.symbols = data, 0, []
        if self.take(2) != b"X\n":
            raise ValueError("not an R object in XDR form")
        version = self.integer()
        if version not in (2, 3):
            raise ValueError(f"serialisation version {version} is not known")
        self.take(8)  # R's own version, and the least that can read it
        if version == 3:
            self.take(self.integer())  # the native encoding

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("the object ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self):
        return struct.unpack(">i", self.take(4))[0]

    def numbers(self, code, size):
        count = self.integer()
        return list(struct.unpack(f">{count}{code}", self.take(size * count)))

    def object(self):
        flags = self.integer()
        kind, has_attributes, has_tag = flags & 255, flags & 0x200, flags & 0x400
        if kind == NOTHING:
            return None
        if kind == REFERENCE:
            return self.symbols[(flags >> 8) - 1]
        if kind == SYMBOL:
            self.symbols.append(self.object())
            return self.symbols[-1]
        if kind == PAIRS:
            return self.pairs(has_attributes, has_tag)
        if kind == CHARACTERS:
            count = self.integer()
            if count == -1:
                return None  # NA
            return self.take(count).decode("latin-1" if flags >> 12 & 4 else "utf-8")
        if kind in (LOGICALS, INTEGERS):
            values = self.numbers("i", 4)
        elif kind == REALS:
            values = self.numbers("d", 8)
        elif kind in (STRINGS, LIST):
            values = [self.object() for _ in range(self.integer())]
        else:
            raise ValueError(f"objects of type {kind} are not read")
        names = self.object().get("names") if has_attributes else None
        return dict(zip(names, values)) if names else values

    def pairs(self, has_attributes, has_tag):
        values = {}
        while True:
            if has_attributes:
                self.object()
            key = self.object() if has_tag else len(values)
            values[key] = self.object()
            flags = self.integer()
            if flags & 255 == NOTHING:
                return values
            if flags & 255 != PAIRS:
                raise ValueError("a pairlist does not end with a pairlist")
            has_attributes, has_tag = flags & 0x200, flags & 0x400


def read(stem):
    """{name: object} of stem.rdx and stem.rdb; objects of unknown types are left out."""
    index = Reader(zlib.decompress(pathlib.Path(f"{stem}.rdx").read_bytes(), 47)).object()
    packed = pathlib.Path(f"{stem}.rdb").read_bytes()
    objects = {}
    for name, (offset, count) in index["variables"].items():
        piece = packed[offset : offset + count]
        data = zlib.decompress(piece[4:])
        if len(piece) != count or len(data) != struct.unpack(">I", piece[:4])[0]:
            raise ValueError(f"{stem}.rdb: '{name}' is damaged")
        try:
            objects[name] = Reader(data).object()
        except ValueError as error:
            print(f"read_rdb.py: '{name}' left out: {error}", file=sys.stderr)
    return objects


def main(stem, out):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, lines in read(stem).items():
        if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
            (out / f"{name}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
