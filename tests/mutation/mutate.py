#!/usr/bin/env python3
"""Removes each barrier and bound check of the kernels, and each wait of the host for a device, in
turn and reports which removals the tests notice: by wrong numbers in some order of threads or
streams, or by the race or address check.

    tests/mutation/mutate.py BUILD FOLDER [--kinds barrier bound wait] [--only TEXT] [--sample N]

BUILD is a build of the whole repository with CUDA tests under the emulation; it is only read.
FOLDER takes stand-ins for libcudart with one changed kernel, programs with one changed source, and
results.json. 5 to 60 seconds for each mutant of a kernel; minutes for a wait that nothing notices.
"""
import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import waits

ROOT = Path(__file__).resolve().parent.parent.parent
KERNELS = ROOT / "kernels"
KINDS = ["barrier", "bound", "wait"]
# What takes minutes under the race check (tests/kernels/CMakeLists.txt).
NO_RACE = re.findall(r"\w+_no_race ([\w.]+)\)", (ROOT / "tests/kernels/CMakeLists.txt").read_text())
CHECKERS = {"race": "thread", "address": "address"}  # and the sanitizer behind each
# (kind, what is removed, what stands in its place)
TERM = r"([^()]|\([^()]*\))*"
RULES = [
    ("barrier", re.compile(r"__sync(?:threads|warp)\([^;]*\);"), ";"),
    ("barrier", re.compile(r"\bwait_for_copies<[^;]*>\(\);"), ";"),
    ("bound", re.compile(rf"\bif \({TERM} <=? {TERM}\)"), "if (true)"),
    ("bound", re.compile(rf"\bif \({TERM} >=? {TERM}\)(?= return| continue| break)"), "if (false)"),
]


def device_lines(text):
    """Numbers of the lines in __global__ and __device__ functions that are no naive reference."""
    depth, waiting, naive, numbers = 0, False, False, set()
    for number, line in enumerate(text.splitlines()):
        if depth == 0 and re.search(r"__global__|__device__", line):
            waiting, naive = True, False
        if waiting or depth:
            naive = naive or (waiting and "_naive" in line)
            opened = line.count("{") - line.count("}")
            if waiting and "{" in line:
                waiting = False
            elif waiting and ";" in line:
                waiting = False
            if not waiting:
                depth = max(0, depth + opened)
            if not naive:
                numbers.add(number)
    return numbers


def find_mutants(kinds):
    for path in sorted(KERNELS.glob("*.cu")) + sorted(KERNELS.glob("*.cuh")):
        if path.stem.endswith("_reference"):
            continue
        text = path.read_text()
        on_device = device_lines(text)
        for number, line in enumerate(text.splitlines()):
            code = line.split("//")[0]
            if number not in on_device or "if constexpr" in code and "__sync" not in code:
                continue
            for kind, pattern, replacement in RULES:
                for found in pattern.finditer(code):
                    if kind in kinds:
                        mutant = line[:found.start()] + replacement + line[found.end():]
                        yield {"kind": kind, "file": path.name, "line": number + 1,
                               "text": line.strip(), "mutant": mutant}


def headers(path, seen=None):
    """Names of the files in kernels/ that a file includes, also through others."""
    seen = set() if seen is None else seen
    for name in re.findall(r'#include "kernels/([\w.]+)"', path.read_text()):
        if name not in seen and (KERNELS / name).exists():
            seen.add(name)
            headers(KERNELS / name, seen)
    return seen


def runs_of(source):
    """(program, order or checker) of the tests of what a .cu file declares, the quick first."""
    own = {name for name in headers(source) if name.endswith(".h")} - {"launch.h"}
    tests = [t for t in (ROOT / "tests/kernels").glob("*_test.cpp") if headers(t) & own]
    kernels = [f"kernels_{t.stem.removesuffix('_test')}" for t in tests]
    ops = [name.replace("kernels_", "ops_cuda_") for name in kernels]
    ops = [name for name in ops if (ROOT / f"tests/ops/cuda/{name[9:]}_test.cpp").exists()]
    return [(name, how) for names in (sorted(kernels), sorted(ops))
            for how in ("0", "1", "7", "address", "race") for name in names]


class Emulation:
    """Stand-ins for libcudart with changed kernels, from the commands of a build."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        listed = subprocess.run(["ninja", "-t", "commands", "tests/ptx/lib/libcudart.so.13",
                                 "tests/ptx/address/libcudart.so.13",
                                 "tests/ptx/thread/libcudart.so.13"],
                                cwd=build, capture_output=True, text=True, check=True)
        self.commands = listed.stdout.splitlines()

    def command(self, *parts):
        return next(c for c in self.commands if all(p in c for p in parts))

    def run(self, command):
        subprocess.run(command, shell=True, cwd=self.build, check=True, capture_output=True)

    def ptx(self, tree, name):
        """Compiles a kernel file of the tree; True if its PTX is another than the build's."""
        to = tree / f"{name}.ptx"
        command = self.command("nvcc", f"/{name}.cu -o ")
        command = re.search(r"\S*nvcc .*?-o \S+", command).group(0)
        command = re.sub(r"-MD -MT \S+ -MF \S+", "", command)
        command = re.sub(r"-o \S+", f"-o {to}", command)
        command = command.replace(str(KERNELS / f"{name}.cu"), str(tree / f"kernels/{name}.cu"))
        command = command.replace("-ptx", f"-ptx -I{tree}", 1)
        self.run(command)
        # The names of unnamed namespaces hold a hash of the file's path: programs know the build's.
        built = (self.build / f"tests/ptx/kernels/{name}.ptx").read_text()
        hashes = set(re.findall(r"_GLOBAL__N__([0-9a-f]{8})_", built))
        text = to.read_text()
        for own in set(re.findall(r"_GLOBAL__N__([0-9a-f]{8})_", text)):
            text = text.replace(f"_GLOBAL__N__{own}_", f"_GLOBAL__N__{min(hashes)}_")
        to.write_text(text)
        code = lambda ptx: [line for line in ptx.splitlines()
                            if not re.match(r"\s*(\.loc|\.file|\.b8|//)", line)]
        return code(text) != code(built)

    def link(self, tree, names, variant):
        """Translates the changed files and links them with the build's other objects."""
        target = f"stand_in_cudart_{variant}.dir"
        folder = "lib" if variant == "plain" else variant
        link = self.command(f"-o tests/ptx/{folder}/libcudart.so.13", "-shared")
        link = re.sub(r"^: && | && :$", "", link)
        for name in names:
            cpp, ptx = tree / f"{name}.cpp", tree / f"{name}.ptx"
            object_file = tree / f"{name}.{variant}.o"
            if not cpp.exists():
                translate = self.command("translate.py", f"/{name}.ptx ")
                found = re.search(r"(\S*python3\S* \S*translate.py) \S+ \S+ (\S+)", translate)
                self.run(f"{found[1]} {ptx} {cpp} {found[2]}")
            compile_ = self.command(target, f"/{name}.cpp.o -c ")
            compile_ = re.sub(r"-MD -MT \S+ -MF \S+", "", compile_)
            built = re.search(r"-o (\S+)", compile_).group(1)
            compile_ = re.sub(r"-o \S+ -c \S+", f"-o {object_file} -c {cpp}", compile_)
            self.run(compile_)
            link = link.replace(f" {built}", f" {object_file}")
        (tree / folder).mkdir()
        link = link.replace(f"-o tests/ptx/{folder}/", f"-o {tree / folder}/")
        self.run(link)

    def passes(self, tree, program, how):
        checker = CHECKERS.get(how)
        place = "tests/ops/cuda" if program.startswith("ops_cuda_") else "tests/kernels"
        file = self.build / place / f"tests_{program}{'_' + how if checker else ''}"
        built = self.build / "tests/ptx"
        folders = [tree / checker, built / checker] if checker else [tree / "lib"]
        environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1",
                           ASAN_OPTIONS="detect_leaks=0",
                           LD_LIBRARY_PATH=":".join(map(str, folders + [built / "lib"])),
                           LOCKSTEP_EMULATION_ORDER="0" if checker else how)
        if checker:
            environment["LOCKSTEP_TINY"] = how
        if how == "race":
            environment["GTEST_FILTER"] = "-" + ":".join(NO_RACE)
        try:
            return subprocess.run([file, "--gtest_fail_fast"], env=environment, timeout=300,
                                  capture_output=True).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def try_out(self, number, mutant):
        """What notices the mutant."""
        tree = self.folder / str(number)
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(KERNELS, tree / "kernels")
        path = tree / "kernels" / mutant["file"]
        lines = path.read_text().splitlines()
        lines[mutant["line"] - 1] = mutant["mutant"]
        path.write_text("\n".join(lines) + "\n")
        sources = [s for s in sorted(KERNELS.glob("*.cu"))
                   if mutant["file"] in headers(s) | {s.name}]
        try:
            changed = [s for s in sources if self.ptx(tree, s.stem)]
            if not changed:
                return "the same code"
            runs = [run for s in changed for run in runs_of(s)]
            for variant in ("plain", "address", "thread"):
                self.link(tree, [s.stem for s in changed], variant)
                for program, how in dict.fromkeys(runs):
                    checker = CHECKERS.get(how)
                    if (checker or "plain") == variant and not self.passes(tree, program, how):
                        return f"noticed by {program}.{how if checker else 'order' + how}"
            return "NOT NOTICED"
        except subprocess.CalledProcessError as error:
            return "does not compile: " + error.stderr.decode(errors="replace")[:200]
        finally:
            shutil.rmtree(tree, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--sample", type=int, help="draw so many of all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="regular expression that FILE:LINE must contain")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="name the mutants and stop")
    options = parser.parse_args()
    found = list(find_mutants(options.kinds))
    if "wait" in options.kinds:
        found += waits.find_mutants()
    mutants = [m for m in found
               if re.search(options.only, f"{m['file']}:{m['line']}")]
    if options.sample:
        count = min(options.sample, len(mutants))
        mutants = random.Random(options.seed).sample(mutants, count)
    if options.list:
        for m in mutants:
            print(f"{m['kind']:<8} {m['file']}:{m['line']}: {m['text']}  ->  {m['mutant'].strip()}")
        print(len(mutants), "mutants")
        return
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    emulation = Emulation(options.build.resolve(), folder)
    programs = waits.Programs(options.build.resolve(), folder)
    unchanged = {"kind": "none", "file": "weight_order.cu", "line": 1,
                 "mutant": (KERNELS / "weight_order.cu").read_text().splitlines()[0]}
    if emulation.try_out("unchanged", unchanged) != "the same code":
        sys.exit("mutate: BUILD is not of these kernels; build it first")

    def run(number):
        m = mutants[number]
        m["result"] = (programs if m["kind"] == "wait" else emulation).try_out(number, m)
        place = f"{m['file']}:{m['line']}"
        print(f"{m['kind']:<8} {place:<36} {m['text'][:40]:<40} {m['result']}", flush=True)
        done = [x for x in mutants if "result" in x]
        (folder / "results.json").write_text(json.dumps(done, indent=1))

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, range(len(mutants))))
    valid = [m for m in mutants if m["result"].startswith(("noticed", "NOT"))]
    noticed = [m for m in valid if m["result"] != "NOT NOTICED"]
    print(f"{len(noticed)} of {len(valid)} mutants are noticed; "
          f"{len(mutants) - len(valid)} are none")


if __name__ == "__main__":
    main()
