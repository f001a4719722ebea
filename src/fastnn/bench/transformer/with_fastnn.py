"""The Transformers in fastnn, written like user code."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import models, nn, optim
from fastnn.models.pooled import pool

from ..operations import ADAM, Arrays, Call
from ..reference import EPS
from . import DECAY, LABEL_SMOOTHING, MAX_NORM


def language_model(inputs: Arrays) -> models.TransformerLM:
    n_layers = sum(name.endswith("qkv.weight") for name in inputs)
    sizes = *inputs["embedding.weight"].shape, int(inputs["heads"]), n_layers
    model = models.TransformerLM(*sizes, len(inputs["positions.weight"]), bias=False)
    model.load_state({name: inputs[name] for name, _ in model.parameters().named()})
    return model


def lm_step(inputs: Arrays, precision: str | None = None) -> Call:
    """Forward, loss, backward, clip, AdamW; products in bfloat16 if asked."""
    model = language_model(inputs)
    ids, targets = inputs["ids"], inputs["targets"]
    optimizer = optim.AdamW(model.parameters(), **ADAM, weight_decay=DECAY)

    def call() -> tuple[Any, ...]:
        optimizer.zero_grad()
        with nn.precision(precision):
            loss, _ = model.loss_and_grad(ids, targets)
        norm = optimizer.step(max_norm=MAX_NORM)
        return loss, norm, model.positions.weight.data

    return call


def seq2seq_step(inputs: Arrays, dropout: float = 0.0) -> Call:
    """Forward, loss, backward, Adam."""
    words, width = inputs["embedding.weight"].shape
    model = models.Seq2SeqTransformer(
        words,
        d_model=width,
        n_heads=int(inputs["heads"]),
        n_layers=sum("cross_attention.kv.weight" in name for name in inputs),
        d_ff=len(inputs["encoder.0.feed_forward.down.weight"]),
        dropout=dropout,
        final_norm=True,
        rng=0,
    )
    model.load_state({name: inputs[name] for name, _ in model.parameters().named()})
    x = inputs["src"], inputs["tgt"], inputs["src_lengths"]
    targets, table = inputs["targets"], model.embedding.weight
    optimizer = optim.Adam(model.parameters(), **ADAM)

    def call() -> tuple[Any, ...]:
        optimizer.zero_grad()
        loss, _ = model.loss_and_grad(x, targets, label_smoothing=LABEL_SMOOTHING)
        optimizer.step()
        return loss, table.grad, table.data

    return call


def decode(inputs: Arrays, weights: str | None = None) -> Call:
    """Decode one token greedily with the earlier tokens in the state, as `fastnn generate` does.

    The time includes truncating the state after each token.
    """
    plan, ids = language_model(inputs).freeze(weights=weights), inputs["ids"]
    state = plan.new_state()
    position = ids.shape[1] - 1
    if position:
        plan.step(ids[:, :-1], state)
    token = ids[:, -1:].copy()

    def call() -> tuple[Any, ...]:
        logits = plan.step(token, state)
        int(np.argmax(logits))
        state.truncate(position)
        return (logits,)

    return call


def encode(inputs: Arrays, weights: str | None = None) -> Call:
    """Encode texts without padded rows, as `models.SentenceEncoder` does with their ids."""
    ids, lengths, table = inputs["ids"], inputs["lengths"], inputs["embedding.weight"]
    sizes = int(inputs["heads"]), sum(name.endswith("qkv.weight") for name in inputs)
    hidden = len(inputs["blocks.0.feed_forward.down.weight"])
    model = models.TransformerEncoderModel(
        *table.shape, *sizes, hidden, len(inputs["positions.weight"]), n_types=0, eps=EPS
    )
    model.load_state({name: inputs[name] for name, _ in model.parameters().named()})
    plan = model.freeze(weights=weights) if weights else None
    texts = [row[:n] for row, n in zip(ids, lengths, strict=True)]

    def call() -> tuple[Any, ...]:
        order = np.argsort(lengths, kind="stable")
        packed, n = np.concatenate([texts[i] for i in order]), lengths[order]
        hidden = plan(packed, lengths=n) if plan else model.packed(packed, n)
        vectors = np.empty((len(texts), table.shape[1]), hidden.dtype)
        vectors[order] = pool(hidden, n, "mean")
        return (vectors,)

    return call
