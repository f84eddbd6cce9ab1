"""The presets gpt and llama in PyTorch, written out with Lockstep's names and layout of parameters: rows of
qkv are queries, keys, values by head; rows of gate_up are gate, up. check_transformers.py compares them with
the models of the transformers library.
"""
import math

import torch
import torch.nn.functional as F

WIDTH, HEADS, BLOCKS, VOCABULARY, TOKENS = 48, 3, 2, 61, 24
LLAMA_HEADS, LLAMA_KV_HEADS, FEED_FORWARD, ROTARY = 4, 2, 128, 10000.0


def layer_norm(p, name, x):
    gain = p.get(name + ".weight", (WIDTH,), 0.25, decay=False, offset=1.0)
    return F.layer_norm(x, (WIDTH,), gain, p.get(name + ".bias", (WIDTH,), 0.25, decay=False), 1e-5)


def rms_norm(p, name, x):
    gain = p.get(name + ".weight", (WIDTH,), 0.25, decay=False, offset=1.0)
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * gain


def rotate(x):
    """Su et al. 2021 on x [N, heads, T, width], with the pairs (i, i + width / 2) of Llama's code."""
    half = x.shape[-1] // 2
    base = torch.arange(half, dtype=torch.float64) * (-2.0 / x.shape[-1])
    angle = torch.outer(torch.arange(x.shape[-2], dtype=torch.float64), ROTARY**base)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def attention(qkv, heads, kv_heads, rotary):
    n, t, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // (heads + 2 * kv_heads)
    q, k, v = (x.reshape(n, t, -1, width).transpose(1, 2)
               for x in qkv.split((heads * width, kv_heads * width, kv_heads * width), -1))
    if rotary:
        q, k = rotate(q), rotate(k)
    k, v = (x.repeat_interleave(heads // kv_heads, 1) for x in (k, v))
    scores = q @ k.transpose(-2, -1) / math.sqrt(width)
    scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -math.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, heads * width)


def embedding(p, name, rows):
    return p.get(name + ".weight", (rows, WIDTH), 0.125)


def gpt(p, tokens):
    """Radford et al. 2019: [N, T] token numbers to [N, T, V] logits; the output layer is the embedding's."""
    words = embedding(p, "tokens", VOCABULARY)
    x = F.embedding(tokens, words) + embedding(p, "positions", TOKENS)
    for block in range(BLOCKS):
        name = f"block{block}."
        qkv = p.linear(name + "qkv", layer_norm(p, name + "norm1", x), 3 * WIDTH)
        x = x + p.linear(name + "projection", attention(qkv, HEADS, HEADS, False), WIDTH)
        up = p.linear(name + "up", layer_norm(p, name + "norm2", x), 4 * WIDTH)
        gelu = 0.5 * up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
        x = x + p.linear(name + "down", gelu, WIDTH)
    return layer_norm(p, "norm", x) @ words.T


def llama(p, tokens):
    """Touvron et al. 2023, with grouped queries: [N, T] token numbers to [N, T, V] logits."""
    x = F.embedding(tokens, embedding(p, "tokens", VOCABULARY))
    group = WIDTH // LLAMA_HEADS * LLAMA_KV_HEADS
    for block in range(BLOCKS):
        name = f"block{block}."
        qkv = p.linear(name + "qkv", rms_norm(p, name + "norm1", x), WIDTH + 2 * group, bias=False)
        mixed = attention(qkv, LLAMA_HEADS, LLAMA_KV_HEADS, True)
        x = x + p.linear(name + "projection", mixed, WIDTH, bias=False)
        gate_up = p.linear(name + "gate_up", rms_norm(p, name + "norm2", x), 2 * FEED_FORWARD, bias=False)
        gate, up = gate_up.chunk(2, -1)
        x = x + p.linear(name + "down", F.silu(gate) * up, WIDTH, bias=False)
    return p.linear("output", rms_norm(p, "norm", x), VOCABULARY, bias=False)
