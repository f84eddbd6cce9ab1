"""Mutants of the host: each wait for an event or a stream of a device is removed in turn. The
changed source is compiled with the build's command, put before its library in the test programs,
and these run as ctest runs them, then in other orders of the streams' work."""
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ["src/comm/device_*.cpp", "src/comm/device_*.h", "src/comm/tree_fold.cpp",
           "src/comm/worker_rows.cpp", "src/nn/*.cpp", "src/train/*.cpp", "src/parallel/*.cpp",
           "src/serve/*.cpp", "src/ops/cuda/*.cpp", "src/device/cuda/*.cpp"]
RULES = [
    (re.compile(r"\b[\w.>()\[\]-]+(?:->|\.)(?:synchronize\(\)|wait\([^;{]*\));"), "{}"),
    (re.compile(r"check\(cuda(?:Stream|Event|Device)(?:Synchronize|WaitEvent)\([^;]*;"), "{}"),
    (re.compile(r"![\w.>\[\]-]+->done\(\)"), "false"),
    (re.compile(r"(?<=return )[\w.>\[\]-]+->done\(\)"), "true"),
]
# Without what only looks whether a wait would return at once, for which any answer is right.
LOOKS = re.compile(r"staging->done\(\)|count_ == 0 \|\|")
# Tests of what uses devices, by component, the quickest first; of ops one order of threads does.
PROGRAM = r"cuda\.(mlp|accumulate|optimizers|moves|generate|tools|server|cnn|gpt)$"
TESTS = {"comm": [r"late_fold\.", r"server_fold\.", r"cuda_fold", r"cuda\.(mlp|gpt)$"],
         "nn": [r"staged_program$", PROGRAM],
         "ops": [r"ops_cuda_.*order0", PROGRAM],
         "device": [r"cuda_fold", r"ops_cuda_.*order0", PROGRAM]}
# Again, in other orders of the streams' work.
SEEDED = r"cuda_fold\.|cuda\.(mlp|optimizers|generate)$"
SEEDS = [2, 3]
LIMIT = 120  # seconds a test


def find_mutants():
    for path in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern)):
        for number, line in enumerate(path.read_text().splitlines()):
            code = line.split("//")[0]
            if LOOKS.search(code):
                continue
            for pattern, replacement in RULES:
                for found in pattern.finditer(code):
                    yield {"kind": "wait", "file": str(path.relative_to(ROOT)), "line": number + 1,
                           "text": line.strip(),
                           "mutant": line[:found.start()] + replacement + line[found.end():]}


class Programs:
    """Test programs with one changed source, from the commands of a build."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        listed = subprocess.run(["ninja", "-t", "commands", "all"], cwd=build, capture_output=True,
                                text=True, check=True).stdout.splitlines()
        self.compiles = {found[1]: line for line in listed
                         if (found := re.search(r"-o \S+ -c (\S+\.cpp)$", line))}
        self.links = {found[1]: line for line in listed if ".a" in line
                      and (found := re.search(r" -o (\S+) ", line)) and " -c " not in line}
        shown = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, capture_output=True,
                               text=True, check=True)
        self.tests = {t["name"]: t for t in json.loads(shown.stdout)["tests"] if "command" in t}
        work = build / "tests/cuda/work"
        self.data = [work / name for name in ("small.h5", "text.h5", "short.txt")]

    def tests_of(self, mutant):
        """Pairs of a test and the seed that it does not name itself."""
        chosen = [test for pattern in TESTS.get(mutant["file"].split("/")[1], [PROGRAM])
                  for name, test in self.tests.items() if re.match(pattern, name)]
        return [(test, None) for test in chosen] + [
            (test, seed) for seed in SEEDS for test in chosen if re.match(SEEDED, test["name"])]

    def run(self, command):
        subprocess.run(command, shell=True, cwd=self.build, check=True, capture_output=True)

    def compile(self, tree, mutant):
        """Objects of the sources that the file is, or is included in, and their library."""
        path = Path(mutant["file"])
        shutil.copytree(ROOT / path.parent, tree / path.parent)
        lines = (ROOT / path).read_text().splitlines()
        lines[mutant["line"] - 1] = mutant["mutant"]
        (tree / path).write_text("\n".join(lines) + "\n")
        sources = [path] if path.suffix == ".cpp" else [
            s.relative_to(ROOT) for s in sorted((ROOT / path.parent).glob("*.cpp"))
            if re.search(rf'["/]{path.name}"', s.read_text())]
        objects, library = [], None
        for source in sources:
            command = self.compiles[str(ROOT / source)]
            library = re.search(r"-o \S+/(\w+)\.dir/", command).group(1)
            command = re.sub(r"-MD -MT \S+ -MF \S+|-Werror\S*", "", command)
            objects.append(tree / f"{source.stem}.o")
            command = re.sub(r"-o \S+ -c \S+", f"-o {objects[-1]} -c {tree / source}", command)
            self.run(command)
        return objects, library

    def link(self, tree, program, objects, library):
        """The program's path, or None if it does not use the library."""
        relative = os.path.relpath(program, self.build)
        command = self.links.get(relative)
        if command is None or f"lib{library}.a" not in command:
            return None
        to = tree / relative
        if not to.exists():
            to.parent.mkdir(parents=True, exist_ok=True)
            self.run(command.replace(f" -o {relative} ",
                                     f" -o {to} {' '.join(map(str, objects))} "))
        return to

    def passes(self, tree, test, seed, objects, library):
        """Whether a test passes; None if its programs do not use the library."""
        command, used = [], False
        for word in test["command"]:
            program = None
            ours = word.startswith(str(self.build)) and os.path.isfile(word)
            if ours and os.access(word, os.X_OK):
                program = self.link(tree, word, objects, library)
                used = used or program is not None
            command.append(str(program or word))
        if not used:
            return None
        work = tree / "work"
        if not work.exists():
            work.mkdir()
            for file in self.data:
                (work / file.name).symlink_to(file)
        command = [str(work) if w == str(self.data[0].parent) else w for w in command]
        properties = {p["name"]: p["value"] for p in test["properties"]}
        environment = dict(os.environ)
        environment.update(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
        if seed is not None:
            environment["LOCKSTEP_EMULATION_SEED"] = str(seed)
        run = subprocess.Popen(command, cwd=work, env=environment, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return run.wait(LIMIT) == 0
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGTERM)
            run.wait()
            return False

    def try_out(self, number, mutant):
        """What notices the mutant."""
        tree = self.folder / str(number)
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        try:
            objects, library = self.compile(tree, mutant)
            for test, seed in self.tests_of(mutant):
                if self.passes(tree, test, seed, objects, library) is False:
                    return f"noticed by {test['name']}" + (f", seed {seed}" if seed else "")
            return "NOT NOTICED"
        except subprocess.CalledProcessError as error:
            return "does not compile: " + error.stderr.decode(errors="replace")[:200]
        finally:
            shutil.rmtree(tree, ignore_errors=True)
