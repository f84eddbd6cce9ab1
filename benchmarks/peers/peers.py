#!/usr/bin/env python3
"""Lockstep's benchmarks beside those of others, on this machine, one after another.

    benchmarks/peers/peers.py [--program build/bin/lockstep] [--ranks 2] [--folder .] [--seconds 0.2] [--json FILE]
        [--only comm,kernels,data]

Messages and sums: the OSU micro-benchmarks (osu_latency, osu_bw, osu_allreduce), nccl-tests (all_reduce_perf) and
PyTorch's all_reduce over gloo. Products: torch.matmul. Files: fio and h5perf. What is not installed is named and left
out. Each runs with settings as near to ours as it has; the table says whose figure is whose.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
MPIRUN = ROOT / "scripts/mpirun.sh"
OSU_FOLDERS = ["/usr/libexec/osu-micro-benchmarks", "/usr/lib/osu-micro-benchmarks", "/usr/local/libexec/osu-micro-benchmarks"]
SIZES = [8, 8192, 2 << 20, 32 << 20]  # bytes: of those that bench comm has
PRODUCTS = [(1024, 768, 3072), (1024, 1024, 1024)]  # as rows of bench kernels


class Missing(Exception):
    pass


def find(name):
    path = shutil.which(name)
    if path:
        return path
    for folder in OSU_FOLDERS:
        for path in pathlib.Path(folder).rglob(name) if os.path.isdir(folder) else []:
            return str(path)
    raise Missing(name)


def output_of(command, timeout=600):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise Missing(f"{pathlib.Path(str(command[0])).name} failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:90]}")
    return done.stdout


def ours(arguments, *words, ranks=1):
    """The rows of a benchmark by (group, name)."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "rows.json"
        launch = [MPIRUN, "-np", ranks] if ranks > 1 else []
        output_of([*launch, arguments.program, "bench", *words, "--seconds", arguments.seconds, "--json", file])
        rows = json.loads(file.read_text())["rows"]
    return {(row["group"], row["name"]): row for row in rows}


def size_text(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} B"


def torch_lines(arguments, *words):
    text = output_of([arguments.python, HERE / "torch_peer.py", *words])
    if "verified WRONG" in text:
        raise Missing("PyTorch's result is wrong")
    return [line.split() for line in text.splitlines() if not line.startswith("verified")]


def osu_table(text):
    """{bytes: value} of the two columns that OSU's programs print."""
    return {int(a): float(b) for a, b in re.findall(r"^(\d+)\s+([\d.]+)", text, re.M)}


class Table:
    def __init__(self):
        self.rows, self.missing = [], []

    def add(self, what, unit, whose, value):
        self.rows.append({"what": what, "unit": unit, "whose": whose, "value": value})

    def attempt(self, part):
        try:
            part()
        except (Missing, subprocess.TimeoutExpired) as reason:
            self.missing.append(str(reason))

    def text(self):
        columns = list(dict.fromkeys(row["whose"] for row in self.rows))
        whats = list(dict.fromkeys((row["what"], row["unit"]) for row in self.rows))
        lines = [f"{'':32} {'':8}" + "".join(f" {c:>14}" for c in columns)]
        for what, unit in whats:
            line = f"{what:32} {unit:8}"
            for column in columns:
                values = [r["value"] for r in self.rows if (r["what"], r["unit"], r["whose"]) == (what, unit, column)]
                line += f" {values[0]:14.4g}" if values else f" {'':14}"
            lines.append(line.rstrip())
        if self.missing:
            lines.append("not here: " + "; ".join(self.missing))
        return "\n".join(lines)


def compare_messages(arguments, table):
    names = [size_text(size) for size in SIZES if size <= 4 << 20]
    rows = ours(arguments, "comm", "--only", ",".join(f"{g} {n}" for g in ("latency", "bandwidth") for n in names),
                ranks=2)
    for (group, name), row in rows.items():
        factor, unit = (1e6, "us") if group == "latency" else (1e-9, "GB/s")
        table.add(f"{group} {name}", unit, "lockstep", row["figures"][group]["value"] * factor)
    sizes = {size_text(size): size for size in SIZES}

    def osu(program, group, factor, unit):
        found = osu_table(output_of([MPIRUN, "-np", 2, find(program)]))
        for (g, name) in rows:
            size = sizes[name.split(",")[0]]
            if g == group and size in found:
                table.add(f"{group} {name}", unit, "OSU", found[size] * factor)

    table.attempt(lambda: osu("osu_latency", "latency", 1, "us"))
    table.attempt(lambda: osu("osu_bw", "bandwidth", 1e-3, "GB/s"))


def compare_sums(arguments, table):
    ranks = arguments.ranks
    rows = ours(arguments, "comm", "--only", ",".join(f"allreduce {size_text(size)}" for size in SIZES), ranks=ranks)
    for (_, name), row in rows.items():
        size, _, way = name.partition("B ")
        whose = {"fold": "lockstep", "MPI_Iallreduce": "MPI"}.get(way)
        if whose:
            table.add(f"allreduce {size}B", "us", whose, row["seconds"]["median"] * 1e6)

    def osu():
        found = osu_table(output_of([MPIRUN, "-np", ranks, find("osu_allreduce"), "-m", f"{SIZES[-1]}"]))
        for size in SIZES:
            if size in found:
                table.add(f"allreduce {size_text(size)}", "us", "OSU", found[size])

    def nccl():
        text = output_of([find("all_reduce_perf"), "-b", SIZES[0], "-e", SIZES[-1], "-f", 4, "-g", ranks])
        for size, microseconds in re.findall(r"^\s*(\d+)\s+\d+\s+float\s+sum\s+-1\s+([\d.]+)", text, re.M):
            if int(size) in SIZES:
                table.add(f"allreduce {size_text(int(size))}", "us", "nccl-tests", float(microseconds))

    def gloo():
        for _, size, seconds in torch_lines(arguments, "allreduce", ranks, *SIZES):
            table.add(f"allreduce {size_text(int(size))}", "us", "torch gloo", float(seconds) * 1e6)

    for part in (osu, nccl, gloo):
        table.attempt(part)


def compare_products(arguments, table):
    for m, k, n in PRODUCTS:
        name = f"{m} x {k} x {n} fp32"
        rows = ours(arguments, "kernels", "--only", f"gemm {name}")
        table.add(name, "Gflop/s", "lockstep", rows["gemm", name + ", forward"]["figures"]["rate"]["value"] * 1e-9)
        table.attempt(lambda m=m, k=k, n=n, name=name: table.add(
            name, "Gflop/s", "torch.matmul", float(torch_lines(arguments, "matmul", m, k, n)[0][1]) * 1e-9))


def compare_files(arguments, table):
    rows = ours(arguments, "data", "--folder", arguments.folder, "--only", "read,decode")
    for (_, name), row in rows.items():
        figure = row["figures"].get("decoded", row["figures"].get("stored"))
        whose = "H5Dread" if name.endswith("H5Dread") else "lockstep"
        table.add(name.removesuffix(", H5Dread"), "MB/s", whose, figure["value"] * 1e-6)

    def fio():
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            text = output_of([find("fio"), "--name=read", f"--directory={folder}", "--rw=read", "--bs=1M", "--size=64M",
                              "--ioengine=psync", "--time_based", "--runtime=2", "--output-format=json"])
        table.add("pread 1 MiB", "MB/s", "fio", json.loads(text)["jobs"][0]["read"]["bw_bytes"] * 1e-6)

    def h5perf():
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            os.environ["HDF5_PREFIX"] = folder
            text = output_of([find("h5perf_serial"), "-A", "hdf5", "-e", "64,1M", "-x", "1,1M"])
        reads = re.findall(r"Read \([^\n]*\n[^\n]*\n\s*Average Throughput:\s*([\d.]+) MB/s", text)
        if not reads:
            raise Missing("h5perf_serial prints no read throughput")
        table.add("image_contiguous", "MB/s", "h5perf", float(reads[0]) * 1.048576)

    table.attempt(fio)
    table.attempt(h5perf)


PARTS = {"comm": (compare_messages, compare_sums), "kernels": (compare_products,), "data": (compare_files,)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/bin/lockstep"))
    parser.add_argument("--python", default=sys.executable, help="one with PyTorch")
    parser.add_argument("--ranks", type=int, default=2, help="of sums")
    parser.add_argument("--folder", default=".", help="whose file system is read")
    parser.add_argument("--seconds", type=float, default=0.2, help="of each of our rows")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--json", help="write the rows here")
    arguments = parser.parse_args()
    table = Table()
    for name in arguments.only.split(","):
        if name not in PARTS:
            parser.error(f"there is no '{name}': {', '.join(PARTS)}")
        for part in PARTS[name]:
            part(arguments, table)
    print(table.text())
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({"rows": table.rows, "missing": table.missing}, indent=2))


if __name__ == "__main__":
    main()
