#!/usr/bin/env python3
"""Whole training steps against PyTorch, one core, fp32: forward, backward, AdamW.

    benchmarks/compare_pytorch.py [build/benchmarks/bench_step] [--rounds 15]

Both programs are alternated in one run; medians of the rounds. PyTorch runs with one thread and with its
BLAS as it comes (OPENBLAS_* unset), lanes = 1. Needs a python3 with torch.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

for name in [n for n in os.environ if n.startswith(("OPENBLAS_", "MKL_", "OMP_"))]:
    del os.environ[name]
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(1)


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet20():
    blocks, inputs = [], 16
    for width in (16, 32, 64):
        for i in range(3):
            blocks.append(Block(inputs, width, 2 if width > 16 and i == 0 else 1))
            inputs = width
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mlp():
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


class Torch:
    def __init__(self, model, sample, batch, channels_last):
        self.model = model
        self.x = torch.randn(batch, *sample)
        if channels_last:
            self.model = model.to(memory_format=torch.channels_last)
            self.x = self.x.to(memory_format=torch.channels_last)
        self.y = torch.arange(batch) % 10
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def seconds_per_step(self, steps):
        start = time.perf_counter()
        for _ in range(steps):
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(self.x), self.y).backward()
            self.optimizer.step()
        return (time.perf_counter() - start) / steps


class Lockstep:
    def __init__(self, program, model, lanes, batch):
        self.process = subprocess.Popen([program, model, str(lanes), str(batch)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.peak = 0.0

    def seconds_per_step(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        seconds, _, self.peak = map(float, self.process.stdout.readline().split())
        return seconds

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", nargs="?",
                        default=str(pathlib.Path(__file__).parent.parent / "build/benchmarks/bench_step"))
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    print(f"PyTorch {torch.__version__}, one thread, {'MKL' if torch.backends.mkl.is_available() else 'its BLAS'}, "
          f"oneDNN {'on' if torch.backends.mkldnn.is_available() else 'off'}")
    print(f"{'model':<10} {'batch':>5} {'lanes':>5} {'ours ms':>9} {'torch ms':>9} {'layout':>14} {'ratio':>6} {'% of peak':>9}")
    for name, make, sample, batch, steps, target in (("mlp", mlp, (784,), 128, 20, 1.3),
                                                     ("resnet20", resnet20, (3, 32, 32), 128, 2, 1.5)):
        peers = {"contiguous": Torch(make(), sample, batch, False)}
        if len(sample) == 3:
            peers["channels_last"] = Torch(make(), sample, batch, True)
        for lanes in (1, 8):
            ours = Lockstep(arguments.program, name, lanes, batch)
            times = {key: [] for key in ("ours", *peers)}
            for r in range(arguments.rounds + 1):
                for key, subject in (("ours", ours), *peers.items()):
                    seconds = subject.seconds_per_step(steps)
                    if r > 0:  # the first round warms up
                        times[key].append(seconds)
            ours.close()
            median = {key: statistics.median(values) for key, values in times.items()}
            best = min(peers, key=lambda key: median[key])  # PyTorch at its best layout
            ratio = median[best] / median["ours"]
            print(f"{name:<10} {batch:>5} {lanes:>5} {median['ours'] * 1e3:>9.2f} {median[best] * 1e3:>9.2f} {best:>14} "
                  f"{ratio:>6.2f} {ours.peak * 100:>9.1f}   (lanes 1: goal {target})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
