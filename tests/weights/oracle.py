"""PyTorch's side of the exchange of weights. GPT-2 and Llama as functions of a state dict with the names and
shapes of the Hugging Face layouts, in float64.

    oracle.py make gpt2|llama|llama-untied FILE   writes random weights (--bare: without the prefix)
    oracle.py logits KIND FILE OURS TOKEN...      compares the logits in OURS with PyTorch's
    oracle.py same FILE FILE                      the same tensors, bit for bit
    oracle.py break HOW FILE OUT                  a file that must be refused
"""
import json
import math
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

WIDTH, HEADS, BLOCKS, VOCABULARY, CONTEXT = 32, 4, 2, 256, 24
KV_HEADS, INNER = 2, 96


def write(path, tensors):
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, value in tensors.items():
        blob = value.numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read(path):
    raw = open(path, "rb").read()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + length])
    header.pop("__metadata__", None)
    data = raw[8 + length:]
    return {name: torch.from_numpy(np.frombuffer(data[slice(*t["data_offsets"])], "<f4").reshape(t["shape"]).copy())
            for name, t in header.items()}


def make(kind):
    g = torch.Generator().manual_seed(7)

    def normal(*shape):
        return torch.randn(*shape, generator=g) * 0.2

    w = {}
    if kind == "gpt2":
        w["transformer.wte.weight"] = normal(VOCABULARY, WIDTH)
        w["transformer.wpe.weight"] = normal(CONTEXT, WIDTH)
        for block in range(BLOCKS):
            name = f"transformer.h.{block}."
            for norm in ("ln_1", "ln_2"):
                w[name + norm + ".weight"], w[name + norm + ".bias"] = 1 + normal(WIDTH), normal(WIDTH)
            for layer, rows, columns in (("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH),
                                         ("mlp.c_fc", WIDTH, 4 * WIDTH), ("mlp.c_proj", 4 * WIDTH, WIDTH)):
                w[name + layer + ".weight"], w[name + layer + ".bias"] = normal(rows, columns), normal(columns)
        w["transformer.ln_f.weight"], w["transformer.ln_f.bias"] = 1 + normal(WIDTH), normal(WIDTH)
        return w
    group = KV_HEADS * WIDTH // HEADS
    w["model.embed_tokens.weight"] = normal(VOCABULARY, WIDTH)
    for block in range(BLOCKS):
        name = f"model.layers.{block}."
        w[name + "input_layernorm.weight"] = 1 + normal(WIDTH)
        for layer, out in (("q_proj", WIDTH), ("k_proj", group), ("v_proj", group), ("o_proj", WIDTH)):
            w[name + f"self_attn.{layer}.weight"] = normal(out, WIDTH)
        w[name + "post_attention_layernorm.weight"] = 1 + normal(WIDTH)
        w[name + "mlp.gate_proj.weight"], w[name + "mlp.up_proj.weight"] = normal(INNER, WIDTH), normal(INNER, WIDTH)
        w[name + "mlp.down_proj.weight"] = normal(WIDTH, INNER)
    w["model.norm.weight"] = 1 + normal(WIDTH)
    if kind == "llama-untied":
        w["lm_head.weight"] = normal(VOCABULARY, WIDTH)
    return w


def attend(q, k, v):
    q, k, v = (x.view(len(x), -1, WIDTH // HEADS).transpose(0, 1) for x in (q, k, v))
    k, v = (x.repeat_interleave(HEADS // len(x), 0) for x in (k, v))
    return q, k, v


def mix(q, k, v):
    t = q.shape[1]
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
    scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).reshape(t, WIDTH)


def gpt2(w, tokens):
    x = w["transformer.wte.weight"][tokens] + w["transformer.wpe.weight"][:len(tokens)]
    for block in range(BLOCKS):
        def at(name):
            return w[f"transformer.h.{block}.{name}.weight"], w[f"transformer.h.{block}.{name}.bias"]

        def conv1d(name, value):  # transformers keeps these weights as [in, out]
            weight, bias = at(name)
            return value @ weight + bias

        y = F.layer_norm(x, (WIDTH,), *at("ln_1"), 1e-5)
        x = x + conv1d("attn.c_proj", mix(*attend(*conv1d("attn.c_attn", y).split(WIDTH, 1))))
        y = conv1d("mlp.c_fc", F.layer_norm(x, (WIDTH,), *at("ln_2"), 1e-5))
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + conv1d("mlp.c_proj", y)
    x = F.layer_norm(x, (WIDTH,), w["transformer.ln_f.weight"], w["transformer.ln_f.bias"], 1e-5)
    return x @ w["transformer.wte.weight"].T


def llama(w, tokens):
    def norm(name, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w[name + ".weight"]

    half = WIDTH // HEADS // 2
    angle = torch.outer(torch.arange(len(tokens)).double(), 10000.0 ** (-torch.arange(half).double() / half))
    cos, sin = angle.cos(), angle.sin()

    def rotate(x):
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    x = w["model.embed_tokens.weight"][tokens]
    for block in range(BLOCKS):
        name = f"model.layers.{block}."
        y = norm(name + "input_layernorm", x)
        q, k, v = attend(*(y @ w[f"{name}self_attn.{p}_proj.weight"].T for p in "qkv"))
        x = x + mix(rotate(q), rotate(k), v) @ w[name + "self_attn.o_proj.weight"].T
        y = norm(name + "post_attention_layernorm", x)
        y = F.silu(y @ w[name + "mlp.gate_proj.weight"].T) * (y @ w[name + "mlp.up_proj.weight"].T)
        x = x + y @ w[name + "mlp.down_proj.weight"].T
    return norm("model.norm", x) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def compare_logits(kind, path, ours, tokens):
    w = {name: value.double() for name, value in read(path).items()}
    expected = (gpt2 if kind == "gpt2" else llama)(w, torch.tensor(tokens)).numpy()
    got = np.loadtxt(ours, ndmin=2)
    error = np.abs(got - expected).max() / np.abs(expected).max()
    print(f"{kind}: {got.shape[0]} x {got.shape[1]} logits, largest error {error:.1e} of the largest logit")
    # fp32 through a few sums of at most 128 terms; float32 PyTorch itself is at 3e-7.
    return got.shape == expected.shape and error <= 2e-6


def same(a, b):
    a, b = read(a), read(b)
    if a.keys() != b.keys():
        print("names differ:", sorted(a.keys() ^ b.keys()))
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


def damage(how, path, out):
    w = read(path)
    first = sorted(w)[0]
    if how == "missing":
        del w[first]
    elif how == "shape":
        w[first] = w[first][:-1].contiguous()
    elif how == "extra":
        w["surplus.weight"] = torch.zeros(3)
    elif how == "nan":
        w[first].view(-1)[5] = math.nan
    elif how == "bare":
        w = {name.split(".", 1)[1] if name.startswith(("transformer.", "model.")) else name: v for name, v in w.items()}
        w["h.0.attn.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT)  # old files carry their masks along
    write(out, w)
    if how == "truncated":
        raw = open(out, "rb").read()
        open(out, "wb").write(raw[:-100])


if __name__ == "__main__":
    action, args = sys.argv[1], sys.argv[2:]
    if action == "make":
        write(args[1], make(args[0]))
    elif action == "break":
        damage(*args)
    elif action == "logits":
        sys.exit(not compare_logits(args[0], args[1], args[2], [int(t) for t in args[3:]]))
    elif action == "same":
        sys.exit(not same(*args))
    else:
        sys.exit(__doc__)
