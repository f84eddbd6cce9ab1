#!/usr/bin/python3
"""The same file read as raw bytes, by plain H5Dread, by h5py in a PyTorch DataLoader and by Lockstep, in one run, with
a cold and a warm page cache; then how long a file of a million chunks takes to open.

    benchmarks/reading.py BENCH_READING [--mebibytes 512] [--rounds 5] [--folder DIR] [--many 1000000]

Needs h5py and PyTorch. Medians of the rounds, in which all ways take turns. Cold: the file's pages are dropped by
posix_fadvise before each reading; what the storage itself keeps, it keeps. Files are made in --folder.
"""
import argparse
import functools
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch.utils.data

SAMPLE = (64, 64)  # of 16 KiB
CHUNK = 16  # samples: 256 KiB
FORMS = {"plain": {}, "gzip": {"compression": "gzip", "compression_opts": 4, "shuffle": True}}


def make(path, samples, options):
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as f:
        x = f.create_dataset("train/x", (samples,) + SAMPLE, "f4", chunks=(CHUNK,) + SAMPLE, **options)
        for first in range(0, samples, 1024):  # smooth fields with some noise, as measured ones are
            count = min(1024, samples - first)
            walk = np.cumsum(rng.integers(-3, 4, (count,) + SAMPLE), axis=2)
            x[first : first + count] = (walk * 0.125).astype("f4")
        f.create_dataset("train/y", data=(np.arange(samples) % 10).astype("u1"), chunks=(min(4096, samples),))
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def drop(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def warm(path):
    with open(path, "rb", buffering=0) as f:
        while f.read(1 << 22):
            pass


class Samples(torch.utils.data.Dataset):
    """One sample at a time, in a given order; each worker opens the file itself."""

    def __init__(self, path, order):
        self.path, self.order, self.file = path, order, None

    def __len__(self):
        return len(self.order)

    def __getitem__(self, i):
        if self.file is None:
            self.file = h5py.File(self.path, "r")
        row = self.order[i]
        return torch.from_numpy(self.file["train/x"][row]), int(self.file["train/y"][row])


def by_h5py(path, order, workers):
    loader = torch.utils.data.DataLoader(Samples(path, order), batch_size=64, num_workers=workers)
    start = time.perf_counter()
    count = sum(len(y) for _, y in loader)
    return time.perf_counter() - start, count * 4 * int(np.prod(SAMPLE)), count


def by_program(program, *arguments):
    seconds, size, samples = subprocess.run([program, *map(str, arguments)], check=True, capture_output=True,
                                            text=True).stdout.split()
    return float(seconds), int(size), int(samples)


def compare(program, path, rounds, samples):
    order = [int(row) for row in subprocess.run([program, "order", path, str(min(samples, 1024))], check=True,
                                                capture_output=True, text=True).stdout.split()]
    call = functools.partial(by_program, program)
    ways = {"raw pread": lambda: call("pread", path),
            "H5Dread": lambda: call("hdf5", path, "x"),
            "Lockstep, reader": lambda: call("rows", path, "x"),
            "Lockstep, loader, 1 thread": lambda: call("loader", path, 1, epoch),
            "Lockstep, loader, 2 threads": lambda: call("loader", path, 2, epoch),
            "h5py, DataLoader": lambda: by_h5py(path, order, 0),
            "h5py, DataLoader, 2 workers": lambda: by_h5py(path, order, 2)}
    rates = {}
    # The second epoch, where the file is in memory: the first one's time is also that of touching the windows.
    for state, prepare, epoch in (("cold", drop, 1), ("warm", warm, 2)):
        taken = {name: [] for name in ways}
        for turn in range(rounds):  # each begins with another way: storage has caches of its own
            names = list(ways)
            for name in names[turn % len(names):] + names[: turn % len(names)]:
                prepare(path)
                seconds, size, _ = ways[name]()
                taken[name].append(size / seconds)
        for name, values in taken.items():
            rates[name, state] = statistics.median(values)
    return rates


def tell(form, rates, file_bytes, data_bytes):
    print(f"\n{form}: {file_bytes / 2**20:.0f} MiB for {data_bytes / 2**20:.0f} MiB of samples; MB/s of samples")
    for name in dict.fromkeys(name for name, _ in rates):
        scale = data_bytes / file_bytes if name == "raw pread" else 1
        print(f"  {name:30} cold {rates[name, 'cold'] * scale / 1e6:8.0f}   warm {rates[name, 'warm'] * scale / 1e6:8.0f}")
    for state in ("cold", "warm"):
        rate = lambda name: rates[name, state]
        h5py_best = max(rate("h5py, DataLoader"), rate("h5py, DataLoader, 2 workers"))
        ours = max(rate("Lockstep, loader, 1 thread"), rate("Lockstep, loader, 2 threads"))
        print(f"  {state}: reader / raw pread {rate('Lockstep, reader') / rate('raw pread') * file_bytes / data_bytes:.2f}"
              f", loader / raw pread {ours / rate('raw pread') * file_bytes / data_bytes:.2f}"
              f", two threads / H5Dread {rate('Lockstep, loader, 2 threads') / rate('H5Dread'):.2f}"
              f", loader / h5py {ours / h5py_best:.1f} (without workers {ours / rate('h5py, DataLoader'):.1f})")


def many_chunks(program, path, count):
    with h5py.File(path, "w") as f:
        x = f.create_dataset("train/x", (count, 16), "u1", chunks=(1, 16))
        f.create_dataset("train/y", data=(np.arange(count) % 10).astype("u1"))
        row = bytes(16)
        for i in range(count):
            x.id.write_direct_chunk((i, 0), row)
    for state, prepare in (("cold", drop), ("warm", warm)):
        prepare(path)
        print(f"a file of {count} chunks opens in {by_program(program, 'open', path)[0]:.2f} s, {state}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder")
    parser.add_argument("--many", type=int, default=1000000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        samples = arguments.mebibytes * 2**20 // (4 * int(np.prod(SAMPLE)))
        for form, options in FORMS.items():
            path = Path(folder) / f"{form}.h5"
            make(path, samples, options)
            tell(form, compare(arguments.program, path, arguments.rounds, samples), path.stat().st_size,
                 samples * 4 * int(np.prod(SAMPLE)))
            path.unlink()
        if arguments.many:
            many_chunks(arguments.program, Path(folder) / "many.h5", arguments.many)


if __name__ == "__main__":
    main()
