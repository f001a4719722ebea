"""The Transformers in PyTorch, as an expert would write them.

The language model is nanoGPT's (``model.py``: pre-norm, no biases, exact GELU, one table for
embedding and head, ``scaled_dot_product_attention``); the encoder-decoder is
``torch.nn.Transformer``.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..operations import ADAM, Arrays, Call
from . import DECAY, LABEL_SMOOTHING, MAX_NORM
from .reference import sinusoids


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (B, heads, T, d)."""
        batch, length, width = x.shape
        shape = batch, length, self.heads, width // self.heads
        return tuple(y.view(shape).transpose(1, 2) for y in self.qkv(x).split(width, dim=2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(x.shape))


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.gelu(self.up(x)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.norm1 = Attention(width, heads), nn.LayerNorm(width, bias=False)
        self.feed_forward, self.norm2 = FeedForward(width), nn.LayerNorm(width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class LanguageModel(nn.Module):
    """nanoGPT's GPT with ``bias=False`` and ``dropout=0.0``; the loss where targets are given."""

    def __init__(self, inputs: Arrays) -> None:
        super().__init__()
        n_layers = sum(name.endswith("qkv.weight") for name in inputs)
        width = inputs["embedding.weight"].shape[1]
        blocks = [Block(width, int(inputs["heads"])) for _ in range(n_layers)]
        self.embedding = nn.Embedding(*inputs["embedding.weight"].shape)
        self.positions = nn.Embedding(*inputs["positions.weight"].shape)
        self.blocks = nn.Sequential(*blocks)
        self.blocks.add_module("norm", nn.LayerNorm(width, bias=False))
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                value = torch.from_numpy(inputs[name])
                is_linear = value.ndim == 2 and name.startswith("blocks")
                parameter.copy_(value.T if is_linear else value)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.embedding(ids) + self.positions(torch.arange(ids.shape[1]))
        logits = functional.linear(self.blocks(x), self.embedding.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.view(-1))


def adamw(model: nn.Module, **options: Any) -> torch.optim.Optimizer:
    """Return nanoGPT's optimizer: fused AdamW, whose decay is for matrices alone."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, **options, fused=True)


def lm_step(inputs: Arrays, compiled: bool = False, bf16: bool = False) -> Call:
    """Forward, loss, backward, clip, fused AdamW; products in bfloat16 by autocast if asked."""
    model = LanguageModel(inputs)
    run = torch.compile(model) if compiled else model
    ids, targets = (torch.from_numpy(inputs[name]) for name in ("ids", "targets"))
    parameters, optimizer = list(model.parameters()), adamw(model, **ADAM)

    def call() -> tuple[Any, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = run(ids, targets)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach(), norm, model.positions.weight.detach()

    return call


# name of a block's part in fastnn -> name in torch.nn.Transformer
TORCH_NAMES = {
    ".attention.qkv.": ".self_attn.in_proj_",
    ".attention.out.": ".self_attn.out_proj.",
    ".cross_attention.q.": ".multihead_attn.in_proj_",
    ".cross_attention.out.": ".multihead_attn.out_proj.",
    ".feed_forward.up.": ".linear1.",
    ".feed_forward.down.": ".linear2.",
}


def _transformer_state(inputs: Arrays) -> dict[str, Tensor]:
    """Rename parameters for ``torch.nn.Transformer``, whose weights are (out, in)."""
    state = {}
    for name, value in inputs.items():
        if name.startswith(("encoder.", "decoder.")) and ".kv." not in name:
            if ".q." in name:
                value = np.concatenate((value, inputs[name.replace(".q.", ".kv.")]), -1)
            name = re.sub(r"^(\w+)\.(\d)", r"\1.layers.\2", name)
            for ours, theirs in TORCH_NAMES.items():
                name = name.replace(ours, theirs)
            state[name] = torch.from_numpy(np.ascontiguousarray(value.T))
    return state


class Translator(nn.Module):
    """``torch.nn.Transformer`` with one table for both sides and the head."""

    def __init__(self, inputs: Arrays, dropout: float) -> None:
        super().__init__()
        table = inputs["embedding.weight"]
        n_layers = sum("cross_attention.kv.weight" in name for name in inputs)
        self.table = nn.Parameter(torch.from_numpy(table.copy()))
        hidden = len(inputs["encoder.0.feed_forward.down.weight"])
        sizes = (table.shape[1], int(inputs["heads"]), n_layers, n_layers, hidden)
        self.transformer = nn.Transformer(*sizes, dropout, batch_first=True)
        self.transformer.load_state_dict(_transformer_state(inputs))
        self.dropout = nn.Dropout(dropout)
        length = inputs["src"].shape[1]
        positions = sinusoids(length, table.shape[1]).astype(table.dtype)
        self.register_buffer("positions", torch.from_numpy(positions))
        mask = nn.Transformer.generate_square_subsequent_mask(length, dtype=self.table.dtype)
        self.register_buffer("mask", mask)

    def embed(self, ids: Tensor) -> Tensor:
        x = functional.embedding(ids, self.table) * self.table.shape[1] ** 0.5
        return self.dropout(x + self.positions)

    def forward(self, src: Tensor, tgt: Tensor, padding: Tensor, targets: Tensor) -> Tensor:
        h = self.transformer(
            self.embed(src),
            self.embed(tgt),
            tgt_mask=self.mask,
            tgt_is_causal=True,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        logits = functional.linear(h, self.table)
        logits, targets = logits.flatten(0, 1), targets.view(-1)
        return functional.cross_entropy(logits, targets, label_smoothing=LABEL_SMOOTHING)


def seq2seq_step(inputs: Arrays, dropout: float = 0.0, compiled: bool = False) -> Call:
    """Forward, loss, backward, fused Adam."""
    model = Translator(inputs, dropout)
    run = torch.compile(model) if compiled else model
    src, tgt, targets = (torch.from_numpy(inputs[name]) for name in ("src", "tgt", "targets"))
    padding = src == 0
    optimizer = torch.optim.Adam(model.parameters(), **ADAM, fused=True)

    def call() -> tuple[Any, ...]:
        optimizer.zero_grad(set_to_none=True)
        loss = run(src, tgt, padding, targets)
        loss.backward()
        optimizer.step()
        return loss.detach(), model.table.grad, model.table.detach()

    return call


class CachedModel(nn.Module):
    """One decode step with keys and values cached in place, (layers, 2, 1, heads, T, d).

    With a fixed length it attends to the whole cache under a mask, so that a compiler sees one
    shape for all positions; otherwise to a view of the filled part.
    """

    def __init__(self, inputs: Arrays, fixed: bool) -> None:
        super().__init__()
        self.model, self.fixed = LanguageModel(inputs), fixed
        blocks = list(self.model.blocks)[:-1]
        context, width = inputs["positions.weight"].shape
        heads = blocks[0].attention.heads
        shape = len(blocks), 2, 1, heads, context, width // heads
        self.register_buffer("cache", torch.zeros(shape))
        self.register_buffer("places", torch.arange(context))

    def forward(self, token: Tensor, position: Any) -> Tensor:
        """Return logits after a token (1, 1); `position` is an int, or if fixed a tensor (1,)."""
        model = self.model
        x = model.embedding(token)
        x = x + (model.positions(position) if self.fixed else model.positions.weight[position])
        seen = (self.places <= position).view(1, 1, 1, -1) if self.fixed else None
        for block, (keys, values) in zip(list(model.blocks)[:-1], self.cache, strict=True):
            q, k, v = block.attention.split(block.norm1(x))
            if self.fixed:
                keys.index_copy_(2, position, k)
                values.index_copy_(2, position, v)
            else:
                keys[:, :, position : position + 1] = k
                values[:, :, position : position + 1] = v
                stop = position + 1
                keys, values = keys[:, :, :stop], values[:, :, :stop]
            y = functional.scaled_dot_product_attention(q, keys, values, attn_mask=seen)
            x = x + block.attention.out(y.transpose(1, 2).reshape(x.shape))
            x = x + block.feed_forward(block.norm2(x))
        return functional.linear(model.blocks.norm(x), model.embedding.weight)


def decode(inputs: Arrays, compiled: bool = False) -> Call:
    """Decode one token greedily with the earlier tokens in the cache."""
    step: Any = CachedModel(inputs, fixed=compiled).eval()
    if compiled:
        from torch._inductor import config

        config.freezing = True  # weights are packed as constants
        step = torch.compile(step)
    tokens = torch.from_numpy(inputs["ids"])
    places = torch.arange(tokens.shape[1])
    positions = places[:, None] if compiled else places.tolist()

    def at(i: int) -> tuple[Any, ...]:
        with torch.inference_mode():
            logits = step(tokens[:, i : i + 1], positions[i])[:, -1]
            int(logits.argmax())
        return (logits,)

    for i in range(len(places) - 1):
        at(i)
    return lambda: at(len(places) - 1)


class SentenceEncoder(nn.Module):
    """``torch.nn.TransformerEncoder`` over embeddings, and the mean over a text's tokens."""

    def __init__(self, inputs: Arrays) -> None:
        super().__init__()
        self.embedding = nn.Embedding(*inputs["embedding.weight"].shape)
        self.positions = nn.Embedding(*inputs["positions.weight"].shape)
        width, hidden = self.embedding.embedding_dim, inputs["blocks.0.feed_forward.down.weight"]
        self.norm = nn.LayerNorm(width)
        layer = nn.TransformerEncoderLayer(
            width, int(inputs["heads"]), len(hidden), 0.0, "gelu", batch_first=True
        )
        n_layers = sum(name.endswith("qkv.weight") for name in inputs)
        self.encoder = nn.TransformerEncoder(layer, n_layers)
        names = {name.replace("blocks.", "encoder."): x for name, x in inputs.items()}
        state = {n: torch.from_numpy(x) for n, x in inputs.items() if n in self.state_dict()}
        self.load_state_dict(state | _transformer_state(names))

    def forward(self, ids: Tensor, is_token: Tensor) -> Tensor:
        x = self.norm(self.embedding(ids) + self.positions.weight)
        h = self.encoder(x, src_key_padding_mask=~is_token)
        return h.mul(is_token[..., None]).sum(1) / is_token.sum(1, keepdim=True)


def encode(inputs: Arrays, compiled: bool = False, bf16: bool = False) -> Call:
    """Encode a padded batch; PyTorch leaves the padding out where its fast path can."""
    model: Any = SentenceEncoder(inputs).eval()
    ids = torch.from_numpy(inputs["ids"])
    is_token = torch.arange(ids.shape[1]) < torch.from_numpy(inputs["lengths"])[:, None]
    if bf16:
        model = model.bfloat16()
    run = torch.compile(model) if compiled else model

    def call() -> tuple[Any, ...]:
        with torch.inference_mode():
            return (run(ids, is_token),)

    return call
