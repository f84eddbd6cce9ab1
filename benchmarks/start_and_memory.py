"""For compare_pytorch.py: how long both programs take to start, and the least time that the MLP's step can take
with the memory of this machine."""
import os
import statistics
import subprocess
import sys
import time

import h5py
import numpy as np

from contestants import DEFAULTS, Torch, clean_environment

RUN = """[data]
path = "{data}"
[model]
preset = "mlp"
hidden = [1024, 1024]
[train]
batch = 128
lanes = 1
"""


def start(arguments, folder, core):
    """Seconds from launch to a model that is ready to train: `train --check`, which opens the data and builds
    everything, and `import torch`, model, optimizer. Medians."""
    rng = np.random.default_rng(1)
    with h5py.File(folder / "data.h5", "w") as f:
        f["train/x"] = rng.random((1024, 784), dtype=np.float32)
        f["train/y"] = rng.integers(0, 10, 1024, dtype=np.int64)
    (folder / "run.toml").write_text(RUN.format(data=folder / "data.h5"))
    fields = ["--set", "data.input=x", "--set", "data.target=y", "--set", "data.val="]
    seconds = {"Lockstep": []}
    for _ in range(arguments.rounds):
        begin = time.perf_counter()
        done = subprocess.run([arguments.lockstep, "train", folder / "run.toml", "--check", *fields],
                              env=clean_environment(), capture_output=True, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, core))
        seconds["Lockstep"].append(time.perf_counter() - begin)
        if done.returncode != 0:
            print(f"no start-up time: {done.stderr.strip()}", file=sys.stderr)
            return {}
        for python in arguments.python:
            torch = Torch(python, "mlp", 128, DEFAULTS, core)
            seconds.setdefault(f"PyTorch {torch.version}", []).append(torch.start_seconds)
            torch.close()
    return {name: statistics.median(values) for name, values in seconds.items()}


def bandwidth(bytes_of_array, least_seconds=0.5):
    """Bytes per second of numpy's c = a + b, the best of many: two arrays read, one written."""
    a, b, c = (np.ones(bytes_of_array // 4, dtype=np.float32) for _ in range(3))
    best, end = 0.0, time.perf_counter() + least_seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        np.add(a, b, out=c)
        best = max(best, 3 * a.nbytes / (time.perf_counter() - begin))
    return best


def mlp_bound(core):
    """What a step of the MLP must move, with one lane: the weights are read forward and (but for the first
    layer's) backward, the gradient is written, and AdamW reads weights, gradient and two means and writes three."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    first, rest = 784 * 1024 + 1024, 1024 * 1024 + 1024 + 1024 * 10 + 10
    total = 4 * ((first + rest) + rest + (first + rest) + 7 * (first + rest))
    state = 16 * (first + rest)
    result = {"bytes": total, "state": state, "cached": bandwidth(state // 3), "memory": bandwidth(256 << 20)}
    os.sched_setaffinity(0, cores)
    return result
