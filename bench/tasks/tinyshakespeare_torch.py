"""nanoGPT's model in PyTorch: pre-norm, no biases, exact GELU, one table for embedding and head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

STD = 0.02


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, False), nn.Linear(width, width, False)
        self.up, self.down = nn.Linear(width, 4 * width, False), nn.Linear(4 * width, width, False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        parts = self.qkv(self.norm1(x)).split(C, dim=2)
        q, k, v = (part.view(B, T, self.heads, -1).transpose(1, 2) for part in parts)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, C))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Return the mean loss of ids (B, T) and targets (B, T)."""

    def __init__(self, vocab_size: int, layers: int, heads: int, width: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, bias=False)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim >= 2:
                    last = name.endswith(("out.weight", "down.weight"))
                    parameter.normal_(std=STD / math.sqrt(2 * layers) if last else STD)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.embedding(ids) + self.positions.weight[: ids.shape[1]]
        logits = functional.linear(self.norm(self.blocks(x)), self.embedding.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def rate(step: int, warmup: int, total: int, lr: float, min_lr: float) -> float:
    """Return the learning rate by nanoGPT's get_lr."""
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    part = min((step - warmup) / (total - warmup), 1.0)
    return min_lr + 0.5 * (1 + math.cos(math.pi * part)) * (lr - min_lr)
