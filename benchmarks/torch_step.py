#!/usr/bin/env python3
"""Whole training steps of PyTorch, the counterpart of bench_step: what compare_pytorch.py runs.

    torch_step.py MODEL BATCH [options]

Prints "ready", its version, the seconds since the process began and whether it has MKL; then reads numbers of
steps, one a line, and answers each with the mean seconds per step.
"""
import time

START = time.perf_counter()
import argparse
import subprocess
import sys


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("batch", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=1, help="processes of DistributedDataParallel (gloo)")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--port", type=int, default=29511)
    parser.add_argument("--layout", choices=("contiguous", "channels_last"), default="contiguous")
    parser.add_argument("--optimizer", choices=("default", "foreach", "fused"), default="default")
    parser.add_argument("--onednn", choices=("on", "off"), default="on")
    parser.add_argument("--compile", choices=("no", "yes"), default="no")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="bf16: autocast")
    return parser.parse_args()


def join(arguments, distributed):
    """Rank 0 starts the others; they meet at a port of this machine."""
    if arguments.rank == 0:
        for rank in range(1, arguments.ranks):
            subprocess.Popen([sys.executable, *sys.argv, "--rank", str(rank)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{arguments.port}", rank=arguments.rank,
                                   world_size=arguments.ranks)


def main():
    arguments = parse()
    import torch

    import torch_models

    torch.set_num_threads(arguments.threads)
    torch._C._set_mkldnn_enabled(arguments.onednn == "on")
    torch.manual_seed(1)
    model, x, y, loss = torch_models.make(arguments.model, arguments.batch // arguments.ranks)
    if arguments.layout == "channels_last":
        layout = {4: torch.channels_last, 5: torch.channels_last_3d}[x.dim()]
        model, x = model.to(memory_format=layout), x.to(memory_format=layout)
    distributed = arguments.ranks > 1
    if distributed:
        import torch.distributed

        join(arguments, torch.distributed)
        model = torch.nn.parallel.DistributedDataParallel(model)
    kind = {} if arguments.optimizer == "default" else {arguments.optimizer: True}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, **kind)
    if arguments.compile == "yes":
        model = torch.compile(model)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            value = loss(model(x), y)
        value.backward()
        optimizer.step()

    print("ready", torch.__version__, time.perf_counter() - START, torch.backends.mkl.is_available(), flush=True)
    steps = torch.zeros(1, dtype=torch.int64)
    while True:
        if arguments.rank == 0:
            steps[0] = int(sys.stdin.readline() or 0)
        if distributed:
            torch.distributed.broadcast(steps, 0)
        if steps.item() == 0:
            return 0
        start = time.perf_counter()
        for _ in range(steps.item()):
            step()
        if arguments.rank == 0:
            print((time.perf_counter() - start) / steps.item(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
