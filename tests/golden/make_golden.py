#!/usr/bin/env python3
"""Makes tests/golden/*.json: 20 losses of each preset, by PyTorch in float64 and float32.

    make_golden.py [PRESET ...]      default: all

Run by hand when a preset changes (needs PyTorch); the tests read the files only. Parameters and data
come from splitmix64, which the C++ test computes too. Of token models the files also hold the first step's
logits and gradients.
"""
import json
import pathlib
import re
import sys

import numpy as np
import torch
import torch.nn.functional as F

import token_models

STEPS = 20
ORDERS = 8


def splitmix64(seed, count):
    """The first `count` words of the sequence of Steele et al. 2014."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(seed, count):
    """Numbers in [-1, 1), multiples of 2^-23: exact in float32."""
    return (splitmix64(seed, count) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


class Parameters:
    """Named tensors, made on first use in the order of use; number i is seeded with 1000 + i."""

    def __init__(self, dtype):
        self.dtype, self.tensors, self.decayed = dtype, {}, {}

    def get(self, name, shape, scale, decay=True, offset=0.0):
        if name not in self.tensors:
            count = int(np.prod(shape))
            values = offset + uniform(1000 + len(self.tensors), count) * scale
            # The C++ side stores float32; so does the reference.
            values = values.astype(np.float32).reshape(shape)
            self.tensors[name] = torch.tensor(values, dtype=self.dtype).requires_grad_()
            self.decayed[name] = decay
        return self.tensors[name]

    def linear(self, name, x, out, bias=True):
        fan_in = x.shape[-1]
        w = self.get(name + ".weight", (out, fan_in), 2.0 ** round(np.log2(fan_in**-0.5)))
        return F.linear(x, w, self.get(name + ".bias", (out,), 0.125, decay=False) if bias else None)

    def conv(self, name, x, out, kernel, stride=1, padding=0, bias=True):
        shape = (out, x.shape[1]) + (kernel,) * (x.dim() - 2)
        w = self.get(name + ".weight", shape, 2.0 ** round(np.log2((6 / np.prod(shape[1:])) ** 0.5)))
        b = self.get(name + ".bias", (out,), 0.125, decay=False) if bias else None
        return (F.conv3d if x.dim() == 5 else F.conv2d)(x, w, b, stride, padding)

    def batch_norm(self, name, x):
        c = x.shape[1]
        gain = self.get(name + ".weight", (c,), 0.25, decay=False, offset=1.0)
        bias = self.get(name + ".bias", (c,), 0.25, decay=False)
        return F.batch_norm(x, None, None, gain, bias, training=True, eps=1e-5)


def flatten(x):
    """Channels last, as Lockstep lays out activations."""
    return x.movedim(1, -1).reshape(x.shape[0], -1)


def linear_model(p, x):
    return p.linear("output", flatten(x), 10)


def mlp(p, x):
    x = torch.tanh(p.linear("hidden1", flatten(x), 64))
    return p.linear("output", torch.tanh(p.linear("hidden2", x, 32)), 10)


def lenet(p, x):
    x = F.max_pool2d(F.relu(p.conv("conv1", x, 6, 5, 1, 2)), 2)
    x = F.max_pool2d(F.relu(p.conv("conv2", x, 16, 5)), 2)
    x = F.relu(p.linear("hidden1", flatten(x), 120))
    return p.linear("output", F.relu(p.linear("hidden2", x, 84)), 10)


def resnet20(p, x):
    x = F.relu(p.batch_norm("bn1", p.conv("conv1", x, 8, 3, 1, 1, bias=False)))
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            name, width = f"stage{stage}.block{block}", 8 << (stage - 1)
            stride = 2 if stage > 1 and block == 1 else 1
            y = F.relu(p.batch_norm(name + ".bn1", p.conv(name + ".conv1", x, width, 3, stride, 1, bias=False)))
            y = p.conv(name + ".conv2", y, width, 3, 1, 1, bias=False)
            # The shortcut's parameters come first in the table: its ops run before the fused addition.
            if stride == 2:
                x = p.batch_norm(name + ".shortcut.bn", p.conv(name + ".shortcut.conv", x, width, 1, 2, bias=False))
            x = F.relu(p.batch_norm(name + ".bn2", y) + x)
    return p.linear("output", x.mean((2, 3)), 10)


def cosmoflow(p, x):
    for i in range(5):
        x = F.max_pool3d(F.leaky_relu(p.conv(f"conv{i + 1}", x, 32 << i, 3, 1, 1), 0.3), 2)
    x = F.leaky_relu(p.linear("dense1", flatten(x), 128), 0.3)
    return p.linear("output", F.leaky_relu(p.linear("dense2", x, 64), 0.3), 4)


class Images:
    """Uniform images and random classes."""

    def __init__(self, function, sample, batch, lr):
        self.function, self.sample, self.batch, self.lr, self.labels = function, sample, batch, lr, 1

    def data(self, step, dtype):
        values = uniform(step, self.batch * int(np.prod(self.sample))).reshape((self.batch,) + self.sample)
        y = (splitmix64(500 + step, self.batch) % np.uint64(10)).astype(np.int64)
        return torch.tensor(values, dtype=dtype).permute(0, 3, 1, 2), torch.tensor(y)


class Volumes(Images):
    """Uniform volumes and four uniform numbers each, by their squared error."""

    def __init__(self, function, sample, batch, lr):
        super().__init__(function, sample, batch, lr)
        self.labels = 4

    def data(self, step, dtype):
        values = uniform(step, self.batch * int(np.prod(self.sample))).reshape((self.batch,) + self.sample)
        y = uniform(500 + step, self.batch * self.labels).reshape(self.batch, -1)
        return torch.tensor(values, dtype=dtype).movedim(-1, 1), torch.tensor(y, dtype=dtype)


class Tokens:
    """Sequences that can be learned: the next token is one of two, by the last."""

    def __init__(self, function, batch, lr):
        self.function, self.sample, self.batch, self.lr = function, (token_models.TOKENS,), batch, lr
        self.labels = token_models.TOKENS

    def data(self, step, dtype):
        words = splitmix64(step, self.batch * (self.labels + 1)).reshape(self.batch, -1)
        rows = [words[:, 0] % np.uint64(token_models.VOCABULARY)]
        for t in range(1, self.labels + 1):
            drawn = words[:, t] % np.uint64(2)
            rows.append((rows[-1] * np.uint64(3) + np.uint64(1) + drawn) % np.uint64(token_models.VOCABULARY))
        rows = torch.tensor(np.stack(rows, 1).astype(np.int64))
        return rows[:, :-1], rows[:, 1:]


MODELS = {
    "linear": Images(linear_model, (28, 28, 1), 32, 1e-3),
    "mlp": Images(mlp, (28, 28, 1), 32, 1e-3),
    "lenet": Images(lenet, (28, 28, 1), 32, 1e-3),
    "resnet20": Images(resnet20, (16, 16, 3), 16, 1e-4),
    "cosmoflow": Volumes(cosmoflow, (32, 32, 32, 4), 4, 2e-5),
    "gpt": Tokens(token_models.gpt, 8, 1e-3),
    "llama": Tokens(token_models.llama, 8, 1e-3),
}


def sum_of_losses(model, p, x, y):
    logits = model.function(p, x)
    if y.is_floating_point():
        return F.mse_loss(logits, y, reduction="sum")
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1), reduction="sum")


def losses(model, lanes, dtype, order=None):
    p, out, optimizer = Parameters(dtype), [], None
    for step in range(STEPS):
        x, y = model.data(step, dtype)
        total = torch.zeros((), dtype=dtype)
        for lane in range(lanes):
            part = np.arange(lane * model.batch // lanes, (lane + 1) * model.batch // lanes)
            if order is not None:
                part = order.permutation(part)
            total = total + sum_of_losses(model, p, x[part], y[part])
        if optimizer is None:
            groups = [{"params": [t for n, t in p.tensors.items() if p.decayed[n] == d], "weight_decay": 0.01 * d}
                      for d in (True, False)]
            optimizer = torch.optim.AdamW(groups, lr=model.lr)
        loss = total / (model.batch * model.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return out, list(p.tensors)


def first_step(model, dtype, order=None):
    """Logits of sample 0, and of each parameter's gradient (of the sum of losses): up to 256 elements at equal
    distances, the norm, and the inner product with numbers in [-1, 1), which every element enters."""
    p = Parameters(dtype)
    x, y = model.data(0, dtype)
    part = np.arange(model.batch) if order is None else order.permutation(np.arange(model.batch))
    sum_of_losses(model, p, x[part], y[part]).backward()
    figures = {}
    for name, tensor in p.tensors.items():
        g = tensor.grad.detach().reshape(-1).double().numpy()
        stride = -(-len(g) // 256)
        figures[name] = {"elements": g[::stride], "norm": np.linalg.norm(g), "product": g @ uniform(1, len(g))}
    return model.function(p, x[:1]).detach().reshape(-1).double().numpy(), figures


def first_step_record(model):
    logits, figures = first_step(model, torch.float64)
    runs = [first_step(model, torch.float32, np.random.default_rng(i) if i > 0 else None) for i in range(ORDERS)]

    def short(values):
        return [float(f"{v:.9g}") for v in np.atleast_1d(values)]

    deviation = max(np.abs(single - logits).max() for single, _ in runs)
    record = {"logits": short(logits), "logits_deviation": deviation, "gradients": {}}
    for name, exact in figures.items():
        entry = record["gradients"][name] = {}
        for figure, value in exact.items():
            entry[figure] = short(value)
            entry[figure + "_deviation"] = float(max(np.abs(run[name][figure] - value).max() for _, run in runs))
    return record


def text(record):
    """JSON with one list of numbers a line."""
    lists = re.compile(r"\[\s+([-0-9][^\]\[{]*?)\s+\]")
    return lists.sub(lambda m: "[" + re.sub(r"\s+", " ", m.group(1)) + "]", json.dumps(record, indent=1)) + "\n"


def main(names):
    folder = pathlib.Path(__file__).parent
    for name in names or MODELS:
        model = MODELS[name]
        record = {"preset": name, "sample": model.sample, "batch": model.batch, "lr": model.lr,
                  "pytorch": torch.__version__.split("+")[0], "runs": []}
        for lanes in (1, 4):
            reference, parameters = losses(model, lanes, torch.float64)
            # Rounding errors are one draw of many: the samples of a lane in other orders give the same sums
            # but for rounding. The deviation at a step is the largest of ORDERS runs.
            deviation = np.zeros(STEPS)
            for i in range(ORDERS):
                single, _ = losses(model, lanes, torch.float32, np.random.default_rng(i) if i > 0 else None)
                deviation = np.maximum(deviation, np.abs(np.array(single) - np.array(reference)))
            record["runs"].append({"lanes": lanes, "float64": reference, "float32_deviation": deviation.tolist()})
            print(name, lanes, reference[0], reference[-1], deviation.max())
        record["parameters"] = parameters
        if isinstance(model, Tokens):
            record["first_step"] = first_step_record(model)
        (folder / f"{name}.json").write_text(text(record))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
