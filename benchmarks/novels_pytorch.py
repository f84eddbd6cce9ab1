#!/usr/bin/env python3
"""examples/novels.toml by PyTorch: the same data file, size, initial law, optimizer, schedule and steps; prints the
validation loss.

    benchmarks/novels_pytorch.py datasets/novels.h5 [--steps 1500] [--seed 1] [--threads 2]

Only the random numbers differ: which sequences a step takes (a new permutation in each epoch), the initial values
and what dropout leaves out.
"""
import argparse
import math
import os
import sys
import time

BATCH, SEQUENCE, BLOCKS, WIDTH, HEADS, DROPOUT = 32, 128, 4, 256, 4, 0.1
LR, LEAST_LR, WARMUP, BETAS, DECAY, CLIP = 1e-3, 1e-4, 100, (0.9, 0.99), 0.1, 1.0
DEVIATION = 0.02


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def sequences(file, split, torch):
    """All [N, SEQUENCE] inputs and targets of a split, cut as Lockstep cuts them."""
    tokens = torch.tensor(file[f"{split}/tokens"][()].astype("int64"))
    count = (len(tokens) - 1) // SEQUENCE
    cut = lambda shift: tokens[shift : shift + count * SEQUENCE].view(count, SEQUENCE)
    return cut(0), cut(1)


def initialise(model, torch):
    """Radford et al. 2019: deviation 0.02, smaller where a branch joins the residual stream; biases 0."""
    for name, p in model.named_parameters():
        if p.dim() > 1:
            joins = name.endswith(("projection.weight", "feed.2.weight"))
            torch.nn.init.normal_(p, std=DEVIATION / math.sqrt(2 * BLOCKS) if joins else DEVIATION)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(p)


def learning_rate(step, steps):
    if step < WARMUP:
        return LR * (step + 1) / WARMUP
    return LEAST_LR + (LR - LEAST_LR) * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (steps - WARMUP)))


def evaluate(model, x, y, torch, torch_models):
    model.eval()
    with torch.no_grad():
        total = sum(torch_models.cross_entropy(model(x[i : i + 64]), y[i : i + 64]).item() * len(x[i : i + 64])
                    for i in range(0, len(x), 64))
    model.train()
    return total / len(x)


def main():
    options = arguments()
    os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    import h5py
    import torch

    import torch_models

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with h5py.File(options.data) as file:
        x, y = sequences(file, "train", torch)
        val_x, val_y = sequences(file, "val", torch)
    vocabulary = 1 + int(max(x.max(), y.max(), val_x.max()))
    model = torch_models.Gpt(BLOCKS, WIDTH, HEADS, SEQUENCE, vocabulary, DROPOUT)
    initialise(model, torch)
    groups = [{"params": [p for p in model.parameters() if (p.dim() > 1) == decayed], "weight_decay": DECAY * decayed}
              for decayed in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=1e-8)
    print(f"PyTorch {torch.__version__}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, "
          f"{len(x)} sequences of {SEQUENCE}, vocabulary {vocabulary}", flush=True)
    start, order, summed = time.perf_counter(), iter(()), 0.0
    for step in range(options.steps):
        batch = next(order, None)
        if batch is None or len(batch) < BATCH:
            order = iter(torch.randperm(len(x)).split(BATCH))
            batch = next(order)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps)
        optimizer.zero_grad(set_to_none=True)
        loss = torch_models.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        summed += loss.item()
        if (step + 1) % 100 == 0:
            seconds = time.perf_counter() - start
            print(f"step {step + 1}: loss {summed / 100:.4f}, {(step + 1) * BATCH * SEQUENCE / seconds:.0f} tokens/s",
                  flush=True)
            summed = 0.0
    seconds = time.perf_counter() - start
    print(f"val loss {evaluate(model, val_x, val_y, torch, torch_models):.4f} after step {options.steps}, "
          f"{seconds:.0f} s of training")


if __name__ == "__main__":
    sys.exit(main())
