#!/usr/bin/env python3
"""What peers.py runs of PyTorch; prints "KEY VALUE" lines.

    torch_peer.py matmul M K N [bf16]           flop/s of torch.matmul on one thread
    torch_peer.py allreduce RANKS BYTES...      seconds of torch.distributed's all_reduce (gloo), as DDP uses it
"""
import os
import statistics
import sys
import time

import torch

SECONDS = 0.3  # of each figure


def median_seconds(work, together=lambda seconds: seconds):
    work()
    start = time.perf_counter()
    work()
    once = together(time.perf_counter() - start)
    calls = max(1, round(SECONDS / 7 / max(once, 1e-7)))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        times.append(together(time.perf_counter() - start) / calls)
    return statistics.median(times)


def matmul(m, k, n, dtype):
    torch.set_num_threads(1)
    a = torch.randn(m, k).to(dtype)
    b = torch.randn(n, k).to(dtype)
    out = torch.empty(m, n, dtype=dtype)
    expected = a[:1].double() @ b.double().t()
    torch.matmul(a, b.t(), out=out)
    allowed = 1e-4 if dtype == torch.float32 else 2e-2
    right = bool(((out[:1].double() - expected).abs() <= allowed * expected.abs().max()).all())
    print("verified", "ok" if right else "WRONG")
    print("rate", 2 * m * k * n / median_seconds(lambda: torch.matmul(a, b.t(), out=out)))


def member(rank, ranks, port, sizes):
    import torch.distributed as dist
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=ranks)

    def slowest(seconds):
        value = torch.tensor([seconds], dtype=torch.float64)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return value.item()

    for size in sizes:
        values = torch.arange(max(1, size // 4), dtype=torch.float32) % 1000 + rank + 1
        dist.all_reduce(values)
        exact = (torch.arange(values.numel()) % 1000) * ranks + ranks * (ranks + 1) // 2
        right = bool((values == exact).all())
        values.zero_()
        seconds = median_seconds(lambda: dist.all_reduce(values), slowest)
        if rank == 0:
            print("verified", "ok" if right else "WRONG")
            print(f"allreduce {size}", seconds, flush=True)
    dist.destroy_process_group()


def allreduce(ranks, sizes):
    import torch.multiprocessing
    port = 20000 + os.getpid() % 20000
    torch.multiprocessing.spawn(member, (ranks, port, sizes), nprocs=ranks)


if __name__ == "__main__":
    if sys.argv[1] == "matmul":
        matmul(*map(int, sys.argv[2:5]), torch.bfloat16 if "bf16" in sys.argv[5:] else torch.float32)
    else:
        allreduce(int(sys.argv[2]), list(map(int, sys.argv[3:])))
