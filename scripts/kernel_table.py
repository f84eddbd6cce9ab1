#!/usr/bin/env python3
"""What the compiler made of the kernels: registers, spills, stack, shared memory, occupancy, width of
loads and stores, matrix instructions, for each GPU generation. Needs nvcc, no GPU.

    scripts/kernel_table.py [--arch 80 90 100] [--check] [--json FILE] [--disassembler nvdisasm] [kernels/a.cu ...]

Instructions are counted in the machine code where nvdisasm is at hand (pip: nvidia-cuda-nvdisasm),
else in PTX. --check ends with 1 if a rule below is broken.
"""
import argparse
import concurrent.futures
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
# Per multiprocessor (CUDA C++ Programming Guide, table of compute capabilities): warps, blocks,
# shared memory in bytes. 65536 registers everywhere, dealt to a warp in units of 256.
LIMITS = {75: (32, 16, 64 << 10), 80: (64, 32, 164 << 10), 86: (48, 16, 100 << 10), 89: (48, 24, 100 << 10),
          90: (64, 32, 228 << 10), 100: (64, 32, 228 << 10), 120: (48, 24, 100 << 10)}
# By "file: kernel", as regular expressions: why a kernel may do without 16-byte accesses; dynamic shared
# memory that its launcher asks for, in bytes; which instructions it must have.
KNOWN = json.loads((HERE / "kernels" / "table.json").read_text())


def known(part, row):
    for pattern, value in KNOWN[part].items():
        if re.fullmatch(pattern, f"{row['file']}: {row['kernel']}"):
            return value
    return None


# Where a spill is a fault; elsewhere it is a figure of the table.
TUNED_FOR = {80, 90, 100}

PTX_COUNTS = {
    "loads16": r"\bld\.(?:relaxed\.\w+\.)?global[\w.:]*\.v4\.[bfus]32|\bld\.global[\w.:]*\.v2\.[bfus]64|\bcp\.async\.\w+\.shared\.global[\w.:]* \[[^\]]*\], \[[^\]]*\], 16",
    "stores16": r"\bst\.global[\w.:]*\.v4\.[bfus]32|\bst\.global[\w.:]*\.v2\.[bfus]64",
    "mma": r"\bmma\.sync", "ldmatrix": r"\bldmatrix", "async": r"\bcp\.async\.c[ag]",
    "float_atomics": r"\b(?:atom|red)\.[\w.:]*add[\w.:]*\.(?:f16|f32|f64|bf16)"}
SASS_COUNTS = {"loads16": r"\bLDG\.E\.[\w.]*128|\bLDGSTS\.E\.[\w.]*128", "stores16": r"\bSTG\.E\.[\w.]*128",
               "mma": r"\b[HIQ]MMA\.", "ldmatrix": r"\bLDSM\.", "async": r"\bLDGSTS",
               "float_atomics": r"\b(?:ATOM|ATOMG|ATOMS|RED)\.[\w.]*ADD[\w.]*\.(?:F16|F32|F64|BF16)"}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"kernel_table: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done


def short(names):
    """lockstep::kernels::(anonymous namespace)::add<float, 4>(...) -> add<float, 4>"""
    text = run(["c++filt", *names]).stdout.splitlines() if names else []
    out = []
    for name in text:
        name = name.replace("(anonymous namespace)::", "").replace("lockstep::kernels::", "").replace("lockstep::", "")
        name = re.sub(r"^(?:void|__global__) ", "", name)
        depth = 0
        for i, c in enumerate(name):
            depth += (c == "<") - (c == ">")
            if c == "(" and depth == 0 and not name[i:].startswith("(int)") and not name[i:].startswith("(bool)"):
                name = name[:i]
                break
        out.append(re.sub(r"\((?:int|bool|unsigned int)\)", "", name).replace("__nv_bfloat16", "bf16"))
    return out


def bodies(text, start):
    """Pieces of text from each match of `start` (group 1: the name) to the next."""
    marks = list(re.finditer(start, text, re.M))
    return {m[1]: text[m.end():(marks[i + 1].start() if i + 1 < len(marks) else len(text))]
            for i, m in enumerate(marks)}


def occupancy(arch, threads, registers, shared):
    warps_max, blocks_max, shared_max = LIMITS[arch]
    warps = math.ceil(threads / 32)
    by_registers = 65536 // (math.ceil(max(registers, 1) * 32 / 256) * 256) // warps
    by_shared = shared_max // (shared + 1024) if arch >= 80 else (shared_max // shared if shared else blocks_max)
    blocks = min(blocks_max, warps_max // warps, by_registers, by_shared)
    return blocks, round(100 * blocks * warps / warps_max)


def compile_one(source, arch, nvcc, disassembler, folder):
    cubin = folder / f"{source.stem}.{arch}.cubin"
    keep = folder / f"keep.{source.stem}.{arch}"
    keep.mkdir()
    done = run([nvcc, "-std=c++20", "--fmad=false", "--expt-relaxed-constexpr", "-I", HERE, "-I", HERE / "include",
                "-I", HERE / "src", "-cubin", f"-arch=sm_{arch}", "-Xptxas", "-v", "--keep", "--keep-dir", keep,
                source, "-o", cubin])
    ptx = "".join(p.read_text() for p in keep.glob("*.ptx"))
    code = {}
    for name, body in bodies(ptx, r"\.entry ([\w$]+)").items():
        code[name] = body
    counted, patterns, threads = code, PTX_COUNTS, {}
    for name, body in code.items():
        m = re.search(r"\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?", body)
        threads[name] = math.prod(int(x or 1) for x in m.groups()) if m else 256
    if disassembler:
        sass = run([disassembler, "-c", cubin]).stdout
        counted, patterns = bodies(sass, r"^\s*\.section\s+\.text\.([\w$]+)"), SASS_COUNTS
    warnings = [w for w in done.stderr.splitlines() if "warning" in w.lower()]
    rows = []
    for m in re.finditer(r"Function properties for ([\w$]+)\n\s*(\d+) bytes stack frame, (\d+) bytes spill stores, "
                         r"(\d+) bytes spill loads\n.*?Used (\d+) registers(.*)", done.stderr):
        if m[1] not in code:
            continue
        shared = re.search(r"(\d+) bytes smem", m[6])
        row = {"mangled": m[1], "file": source.name, "arch": arch, "registers": int(m[5]),
               "spills": int(m[3]) + int(m[4]), "stack": int(m[2]), "shared": int(shared[1]) if shared else 0,
               "threads": threads[m[1]]}
        row |= {key: len(re.findall(pattern, counted.get(m[1], ""))) for key, pattern in patterns.items()}
        rows.append(row)
    for row, name in zip(rows, short([r["mangled"] for r in rows])):
        row["kernel"] = name
        row["dynamic"] = known("dynamic", row) or 0
        row["blocks"], row["occupancy"] = occupancy(arch, row["threads"], row["registers"], row["shared"] + row["dynamic"])
    return rows, warnings


def breaches(rows):
    for r in rows:
        where = f"{r['file']}: {r['kernel']} on sm_{r['arch']}"
        reference = re.match(r".*(naive|reference)", r["kernel"])
        if r["float_atomics"]:
            yield f"{where} adds floats by atomics"
        # Below sm_80 the launchers of what runs on bf16 tensor cores refuse, by name.
        if reference or (known("tensor", r) and r["arch"] < 80):
            continue
        if r["spills"] and r["arch"] in TUNED_FOR:
            yield f"{where} spills {r['spills']} bytes of registers"
        if r["blocks"] == 0:
            yield f"{where} does not fit a multiprocessor"
        if not r["loads16"] and not r["stores16"] and not known("narrow", r):
            yield f"{where} moves nothing 16 bytes at a time, and kernels/table.json gives no reason"
        for instruction in known("tensor", r) or []:
            if not r[instruction]:
                yield f"{where} has no {instruction}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", type=int, nargs="+", default=[80, 90, 100])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")
    parser.add_argument("--disassembler", default=shutil.which("nvdisasm"))
    parser.add_argument("sources", nargs="*", type=Path)
    options = parser.parse_args()
    sources = options.sources or sorted((HERE / "kernels").glob("*.cu"))
    rows, warnings = [], []
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(source, arch, options.nvcc, options.disassembler, Path(folder))
                for arch in options.arch for source in sources]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for more, warned in pool.map(lambda job: compile_one(*job), jobs):
                rows += more
                warnings += warned
    print("instructions counted in", "machine code" if options.disassembler else "PTX")
    print(f"{'kernel':<64} {'sm':>4} {'regs':>5} {'spill':>6} {'stack':>6} {'shared':>7} {'thr':>5} {'occ %':>6} "
          f"{'ld16':>5} {'st16':>5} {'mma':>5} {'ldsm':>5} {'async':>6}")
    for r in sorted(rows, key=lambda r: (r["file"], r["kernel"], r["arch"])):
        print(f"{r['kernel'][:64]:<64} {r['arch']:>4} {r['registers']:>5} {r['spills']:>6} {r['stack']:>6} "
              f"{r['shared'] + r['dynamic']:>7} {r['threads']:>5} {r['occupancy']:>6} {r['loads16']:>5} {r['stores16']:>5} "
              f"{r['mma']:>5} {r['ldmatrix']:>5} {r['async']:>6}")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))
    broken = list(breaches(rows)) + [f"warning: {w}" for w in warnings]
    for line in broken:
        print("BROKEN RULE:", line)
    print(f"{len(rows)} kernels, {len(broken)} broken rules")
    return 1 if options.check and broken else 0


if __name__ == "__main__":
    sys.exit(main())
