#!/usr/bin/env python3
"""Turns the PTX of CUDA kernels into C++ that runs on the CPU (tests/ptx/README.md):

    translate.py kernels.ptx kernels.cpp [path of ptxas]

ptxas also checks inline assembly, which nvcc -ptx takes as it is, and counts registers. An instruction
that has no translation is named here, with its kernel; launching that kernel then throws."""
import re
import subprocess
import sys
from pathlib import Path

from translator.module import Module


def registers(ptxas, ptx):
    """Kernel -> registers of a thread."""
    command = [ptxas, '-v', '-arch=sm_80', ptx, '-o', '/dev/null']
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    found, kernel = {}, None
    for line in done.stderr.splitlines():
        if match := re.search(r"Compiling entry function '([^']+)'", line):
            kernel = match[1]
        elif match := re.search(r'Used (\d+) registers', line):
            found.setdefault(kernel, int(match[1]))
    return found


def main(ptx, cpp, ptxas=None):
    module = Module(Path(ptx).read_text(), registers(ptxas, ptx) if ptxas else {})
    Path(cpp).write_text(module.cpp())
    for name, reason, statement in module.unsupported:
        print(f'{ptx}: {name}: no translation of {reason}, in: {statement}', file=sys.stderr)


if __name__ == '__main__':
    main(*sys.argv[1:])
