"""The models of bench_step in PyTorch (1.13 and later), as its users write them: make(NAME, BATCH) gives the
model, one batch and the loss."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    """He et al. 2016, with a projection where the width changes."""

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
            blocks.append(Residual(inputs, width, 2 if width > 16 and i == 0 else 1))
            inputs = width
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mlp():
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))


def cosmoflow():
    """Mathuriya et al. 2018, as in MLPerf HPC: 64^3 voxels of 4 channels to 4 numbers."""
    layers, channels = [], 4
    for width in (32, 64, 128, 256, 512):
        layers += [nn.Conv3d(channels, width, 3, padding=1), nn.LeakyReLU(0.3), nn.MaxPool3d(2)]
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 8, 128), nn.LeakyReLU(0.3), nn.Linear(128, 64),
                         nn.LeakyReLU(0.3), nn.Linear(64, 4))


class Attention(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = (y.view(n, t, self.heads, width // self.heads).transpose(1, 2) for y in self.qkv(x).split(width, 2))
        rate = self.dropout if self.training else 0.0
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        else:
            scores = q @ k.transpose(2, 3) * (1 / math.sqrt(q.shape[3]))
            scores = scores.masked_fill(torch.ones(t, t, dtype=torch.bool).triu(1), -math.inf)
            y = F.dropout(scores.softmax(-1), rate) @ v
        return self.projection(y.transpose(1, 2).reshape(n, t, width))


class Gelu(nn.Module):
    def forward(self, x):
        return F.gelu(x, approximate="tanh")


class Transformer(nn.Module):
    """One block of Radford et al. 2019."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), Gelu(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.feed(self.norm2(x)))


class Gpt(nn.Module):
    def __init__(self, blocks, width, heads, context, vocabulary, dropout=0.0):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Transformer(width, heads, dropout) for _ in range(blocks)))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.output.weight = self.tokens.weight

    def forward(self, tokens):
        x = self.dropout(self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1])))
        return self.output(self.norm(self.blocks(x)))


def cross_entropy(outputs, labels):
    return F.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), labels.reshape(-1))


def make(name, batch):
    if name == "mlp":
        return mlp(), torch.randn(batch, 784), torch.arange(batch) % 10, cross_entropy
    if name == "resnet20":
        return resnet20(), torch.randn(batch, 3, 32, 32), torch.arange(batch) % 10, cross_entropy
    if name == "cosmoflow":
        return cosmoflow(), torch.randn(batch, 4, 64, 64, 64), torch.randn(batch, 4), F.mse_loss
    if name == "gpt":
        model, vocabulary = Gpt(6, 384, 6, 256, 4096), 4096
    elif name == "gpt2-124m":
        model, vocabulary = Gpt(12, 768, 12, 1024, 50257), 50257
    else:
        raise SystemExit(f"no model '{name}'")
    tokens = torch.randint(vocabulary, (batch, 257))
    return model, tokens[:, :-1], tokens[:, 1:], cross_entropy
