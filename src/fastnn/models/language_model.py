"""A decoder-only language model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels, nn
from ..checks import check_choice, check_count, check_dtype, check_generator
from ..nn import init
from ..nn.linear import Seed
from ..nn.lowering import Builder
from ..nn.module import Shapes
from ..nn.positional import check_max_len
from ..nn.precision import product
from ..nn.registry import prefixed
from ..nn.states import is_trained
from .attention_maps import run_stack
from .decoding import generate
from .tokens import TokenModel

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]

# Standard deviation of initial weights, as in GPT-2.
STD = 0.02


@nn.register("TransformerLM", rng=0)
class TransformerLM(TokenModel):
    """Predict the next token from the previous ones, as GPT-2 does, with causal pre-norm blocks.

    Radford et al., "Language models are unsupervised multitask learners", 2019. Initial weights are
    normal with standard deviation 0.02, divided by sqrt(2 n_layers) in the last layer of each
    residual branch.

    Parameters
    ----------
    vocab_size : int
    d_model, n_heads, n_layers : int
    max_len : int
        Longest sequence; at most 2^20.
    d_ff : int, optional
        Hidden units of the feed-forward networks; 4 d_model by default.
    n_kv_heads : int, optional
        As in `nn.MultiHeadAttention`.
    dropout : float
        Dropout of the embedding and of what each part of a block adds, in training only.
    attention_dropout : float, optional
        Dropout of attention weights; by default `dropout`.
    bias : bool
        True if linear layers and layer norms have biases.
    activation : str
        As in `nn.Linear`: "gelu", or "gelu_tanh" as in GPT-2's published weights.
    position : {"learned", "sinusoidal", "rotary"}
    norm : {"layer", "rms"}
    eps : float
        Epsilon of the norms.
    tie_weights : bool
        True if the embedding is also the output matrix (Press and Wolf, 2017).
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
    rotary : mapping or list, optional
        Settings of rotary positions, as in `nn.MultiHeadAttention`; a list has those of each block,
        False for a block without positions.
    embedding_scale : float, optional
        Factor of the embedding (Gemma).
    placement, gated, head_dim, qkv_bias, qk_norm, window
        As in `nn.EncoderBlock`; window may be a list with an element for each block.

    Attributes
    ----------
    embedding : nn.Embedding
    positions : nn.PositionalEncoding or None
    blocks : nn.TransformerEncoder
    head : nn.Linear or None

    Examples
    --------
    >>> model = fastnn.models.TransformerLM(65, d_model=128, n_heads=4, max_len=64, rng=0)
    >>> model(np.zeros((2, 10), int)).shape
    (2, 10, 65)
    """

    fields: ClassVar = {
        "vocab_size": int,
        "d_model": (int, 128),
        "n_heads": (int, 4),
        "n_layers": (int, 4),
        "max_len": (int, 256),
        "d_ff": int,
        "n_kv_heads": int,
        "dropout": (float, 0.0),
        "attention_dropout": float,
        "bias": (bool, True),
        "activation": (str | None, "gelu"),
        "position": (str, "learned"),
        "norm": (str, "layer"),
        "eps": (float, 1e-5),
        "tie_weights": (bool, True),
        "rotary": (dict | list | None, None),
        "placement": (str | None, None),
        "gated": (bool, False),
        "head_dim": (int | None, None),
        "qkv_bias": (bool | None, None),
        "qk_norm": (str | None, None),
        "window": (int | list | None, None),
        "embedding_scale": (float | None, None),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its parts, in order."""
        d, dtype = fields["d_model"], fields["dtype"]
        vocab, max_len = (
            check_count("vocab_size", fields["vocab_size"]),
            check_max_len(fields["max_len"]),
        )
        parts: dict[str, Shapes] = {"embedding": {"weight": ((vocab, d), dtype)}}
        if fields["position"] == "learned":
            parts["positions"] = {"weight": ((max_len, d), dtype)}
        parts["blocks"] = nn.TransformerEncoder.shapes({**fields, "final_norm": True})
        if not fields["tie_weights"]:
            parts["head"] = {"weight": ((d, vocab), dtype)}
        return prefixed(parts)

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 128,
        n_heads: int = 4,
        n_layers: int = 4,
        max_len: int = 256,
        *,
        d_ff: int | None = None,
        n_kv_heads: int | None = None,
        dropout: float = 0.0,
        attention_dropout: float | None = None,
        bias: bool = True,
        activation: str = "gelu",
        position: Literal["learned", "sinusoidal", "rotary"] = "learned",
        norm: Literal["layer", "rms"] = "layer",
        eps: float = 1e-5,
        tie_weights: bool = True,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        rotary: Mapping[str, Any] | Sequence[bool | Mapping[str, Any]] | None = None,
        embedding_scale: float | None = None,
        **options: Any,
    ) -> None:
        if rotary is not None and position != "rotary":
            raise ValueError(f"rotary settings need the position 'rotary', not {position!r:.80}")
        position = check_choice("position", position, ("learned", "sinusoidal", "rotary"))
        self.vocab_size = check_count("vocab_size", vocab_size)
        self.max_len = check_max_len(max_len)
        self.position, self.dropout = position, dropout
        dtype, rng = check_dtype(dtype), check_generator("rng", rng)
        how: dict[str, Any] = {"std": STD, "dtype": dtype, "rng": rng}
        self.embedding = nn.Embedding(vocab_size, d_model, scale=embedding_scale, **how)
        self.positions: nn.PositionalEncoding | None = None
        self.drop = nn.Dropout(dropout, rng=rng)
        if position != "rotary":
            how |= {"kind": position, "dropout": dropout}
            self.positions = nn.PositionalEncoding(d_model, max_len, **how)
        options |= {"norm": norm, "eps": eps, "bias": bias, "dtype": dtype, "rng": rng}
        self.blocks = _new_blocks(
            n_layers,
            d_model,
            n_heads,
            4 * d_model if d_ff is None else d_ff,
            n_kv_heads=n_kv_heads,
            activation=activation,
            dropout=dropout,
            attention_dropout=dropout if attention_dropout is None else attention_dropout,
            rotary=position == "rotary" if rotary is None else rotary,
            **options,
        )
        parts: dict[str, Any] = {"embedding": self.embedding}
        parts["positions" if self.positions else "drop"] = self.positions or self.drop
        parts["blocks"] = self.blocks
        self.head: nn.Linear | None = None
        if not tie_weights:
            small = partial(init.normal, std=STD)
            self.head = nn.Linear(d_model, vocab_size, False, dtype=dtype, rng=rng, init=small)
            parts["head"] = self.head
        super().__init__(parts)

    def forward(self, x: Ids) -> tuple[Array, Any]:
        """Return logits (B, T, vocab_size) for ids (B, T); each position predicts the next token.

        Raises
        ------
        TypeError, ValueError
            x is not an array of integers (B, T), is longer than max_len, or has an id out of range.
        """
        h, ctx = self._hidden(x)
        return product(h, self._head()), (h, ctx)

    def __call__(self, x: Ids) -> Array:
        """Return the logits for ids (B, T); keep nothing for backward."""
        return kernels.matmul(self._infer(x), self._head())

    def embed(self, x: Ids) -> Array:
        """Return the input (B, T, d_model) of the first block for ids (B, T), without dropout."""
        self._check_ids("ids", x)
        return (self.positions or self.drop)(self.embedding(x))

    def new_cache(
        self, batch: int, max_len: int | None = None, *, dtype: str | None = None
    ) -> kernels.PlanState:
        """Return an empty cache for `step` with room for max_len positions, at most the model's.

        With dtype "bf16" or "int8" keys and values take 16 or 8 bits: see docs/low-precision.md.
        """
        room = self._room(max_len)
        return self._steps.steps(room).new_state(check_count("batch", batch), room, dtype=dtype)

    def freeze(self, max_len: int | None = None, *, weights: str | None = None) -> kernels.Plan:
        """Return a copy of the model for inference only, with its `step` and `new_cache`.

        Many threads may run one plan, each with its own state, from Python or by its address from
        C, without the GIL (docs/embedding.md). A step of one sequence takes as long as reading the
        weights.

        Parameters
        ----------
        max_len : int, optional
            Largest number of positions; by default, and at most, that of the model.
        weights : str, optional
            Their format: see `nn.freeze`.
        """
        return super().freeze(max_len=self._room(max_len), weights=weights)

    def generate(
        self, prompts: Any, max_new_tokens: int, **options: Any
    ) -> list[NDArray[np.int64]]:
        """Generate a continuation of each prompt: see `models.generate` for the options."""
        return generate(self, prompts, max_new_tokens, **options)

    def attention_weights(self, ids: Ids) -> list[Array]:
        """Return the attention weights for ids (B, T), without dropout.

        Returns
        -------
        list of ndarray (B, n_heads, T, T)
            One per block: how much the row's position attends to the column's, 0 for later ones.
            `fastnn.plot.attention_maps` draws those of one sequence.
        """
        _, found = run_stack(self.blocks, self.embed(ids))
        return [weights for (weights,) in found]

    def _hidden(self, x: Ids) -> tuple[Array, Any]:
        self._check_ids("ids", x)
        e, ctx_e = self.embedding.forward(x)
        e, ctx_p = (self.positions or self.drop).forward(e)
        h, ctx_b = self.blocks.forward(e)
        return h, (ctx_e, ctx_p, ctx_b)

    def _hidden_backward(self, dh: Array, ctx: Any, release: bool = False) -> None:
        ctx_e, ctx_p, ctx_b = ctx
        need = any(map(is_trained, (self.embedding, self.positions or self.drop)))
        de = self.blocks.backward(dh, ctx_b, need, release=release)
        if not need:
            return
        de = (self.positions or self.drop).backward(de, ctx_p)
        assert de is not None
        self.embedding.backward(de, ctx_e)

    def _infer(self, x: Ids) -> Array:
        self._check_ids("ids", x)
        h: Array = self._whole(self._hidden, x)
        return h

    def _lower_hidden(self, b: Builder) -> None:
        for part in (self.embedding, self.positions or self.drop, self.blocks):
            b.lower(part)

    def _tied(self) -> nn.Embedding:
        return self.embedding

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count 2 d_model vocab_size operations per position, for the output product."""
        return 2 * math.prod(input_shape) * self.embedding.dim * self.vocab_size

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the config."""
        block = self.blocks.field_values()
        same = [key for key in block if key in self.fields and key != "rotary"]
        return {
            "vocab_size": self.vocab_size,
            "max_len": self.max_len,
            **{key: block[key] for key in same},
            "rotary": None if isinstance(block["rotary"], bool) else block["rotary"],
            "embedding_scale": self.embedding.scale,
            "dropout": float(self.dropout),
            "position": self.position,
            "tie_weights": self.head is None,
        }


def _new_blocks(
    n_layers: int, d_model: int, n_heads: int, d_ff: int, **options: Any
) -> nn.TransformerEncoder:
    """Return causal pre-norm blocks with initial weights as in GPT-2."""
    std = STD / math.sqrt(2 * check_count("n_layers", n_layers))
    return nn.TransformerEncoder(
        n_layers,
        d_model,
        n_heads,
        d_ff,
        norm_first=True,
        causal=True,
        init=partial(init.normal, std=STD),
        out_init=partial(init.normal, std=std),
        **options,
    )
