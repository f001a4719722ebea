"""An encoder in the manner of BERT: from token ids to a vector for each token."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels, nn
from ..checks import check_count, check_dtype, check_generator, given
from ..kernels import NotLowerable
from ..nn.linear import Seed
from ..nn.lowering import Builder
from ..nn.module import Shapes
from ..nn.packed import Packed
from ..nn.positional import check_max_len
from ..nn.registry import prefixed
from ..nn.states import is_trained
from .encoder_parts import add_to_table, bias_by_distance, check_ids, check_tokens, mask_by_distance

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]

STD = 0.02  # of initial weights, as in BERT

# Fields that are those of its blocks.
_OF_BLOCKS = (
    *"d_model n_heads n_layers d_ff activation dropout attention_dropout eps dtype".split(),
    *"bias placement gated rotary window attention_norm".split(),
)


@nn.register("TransformerEncoderModel", rng=0)
class TransformerEncoderModel(nn.Module):
    """Token, position and type embeddings, their layer norm, and blocks: BERT and ModernBERT.

    Devlin et al., "BERT: pre-training of deep bidirectional Transformers", NAACL 2019; Warner et
    al., "Smarter, better, faster, longer", 2024. A sequence has the same bits alone, in a batch
    with padding, and packed.

    Parameters
    ----------
    vocab_size : int
    d_model, n_heads, n_layers : int
    d_ff : int
        Hidden units of the feed-forward networks.
    max_len : int
        Longest sequence.
    n_types : int
        Rows of the table of token types; 0 for none (DistilBERT).
    first_position : int
        Row of the table of positions that the first token has: 2 in RoBERTa.
    activation : str
        As in `nn.Linear`.
    dropout, attention_dropout : float
        As in `nn.EncoderBlock`; `dropout` also of the embedding.
    eps : float
        Epsilon of the norms.
    buckets : int
        Of distances, for a bias of attention that all blocks share (MPNet); 0 for none.
    bias, placement, gated, rotary, window, attention_norm
        As in `nn.TransformerEncoder`; with `rotary` there is no table of positions, and with the
        placement "pre" a norm follows the last block.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    embedding : nn.Embedding
    positions, types : nn.Embedding or None
    relative : nn.Parameter (buckets, n_heads) or None
    norm : nn.LayerNorm
    drop : nn.Dropout
    blocks : nn.TransformerEncoder

    Examples
    --------
    >>> model = fastnn.models.TransformerEncoderModel(50, 16, 2, 1, 32, 8, rng=0)
    >>> model(np.array([[4, 5, 6], [7, 8, 0]]), lengths=[3, 2]).shape
    (2, 3, 16)
    """

    fields: ClassVar = {
        "vocab_size": int,
        "d_model": int,
        "n_heads": int,
        "n_layers": int,
        "d_ff": int,
        "max_len": int,
        "n_types": (int, 2),
        "first_position": (int, 0),
        "buckets": (int, 0),
        "activation": (str | None, "gelu"),
        "dropout": (float, 0.0),
        "attention_dropout": (float, 0.0),
        "eps": (float, 1e-12),
        "bias": (bool, True),
        "placement": (str, "post"),
        "gated": (bool, False),
        "rotary": (bool | dict | list, False),
        "window": (int | list | None, None),
        "attention_norm": (bool | list, True),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its parts, in order."""
        d, dtype = fields["d_model"], fields["dtype"]
        rows = fields["first_position"] + check_max_len(fields["max_len"])
        rows *= not fields["rotary"]
        counts = {"embedding": fields["vocab_size"], "positions": rows, "types": fields["n_types"]}
        parts: dict[str, Shapes] = {
            name: {"weight": ((n, d), dtype)} for name, n in counts.items() if n
        }
        parts["norm"] = nn.LayerNorm.shapes({**fields, "dim": d})
        blocks = {"type": "TransformerEncoder", "causal": False}
        blocks["final_norm"] = fields["placement"] != "post"
        blocks |= {key: fields[key] for key in _OF_BLOCKS} | {"n_kv_heads": fields["n_heads"]}
        parts["blocks"] = nn.parameter_shapes(blocks)
        table: Shapes = {"relative": ((fields["buckets"], fields["n_heads"]), dtype)}
        return prefixed(parts) | (table if fields["buckets"] else {})

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        n_heads: int,
        n_layers: int,
        d_ff: int,
        max_len: int,
        *,
        n_types: int = 2,
        first_position: int = 0,
        buckets: int = 0,
        activation: str = "gelu",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        eps: float = 1e-12,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        **of_blocks: Any,
    ) -> None:
        self.vocab_size = check_count("vocab_size", vocab_size)
        self.max_len = check_max_len(max_len)
        self.n_types = check_count("n_types", n_types, low=0)
        self.first_position = check_count("first_position", first_position, low=0)
        dtype, rng = check_dtype(dtype), check_generator("rng", rng)
        how: dict[str, Any] = {"std": STD, "dtype": dtype, "rng": rng}
        self.embedding = nn.Embedding(vocab_size, d_model, **how)
        has_table = not of_blocks.get("rotary")
        rows = first_position + max_len
        self.positions = nn.Embedding(rows, d_model, **how) if has_table else None
        self.types = nn.Embedding(n_types, d_model, **how) if n_types else None
        self.buckets = check_count("buckets", buckets, low=4) if buckets else 0
        table = nn.init.initial(_initial, (self.buckets, n_heads), rng, dtype)
        self.relative = nn.Parameter(table) if buckets else None
        self.norm = nn.LayerNorm(d_model, eps, bias=of_blocks.get("bias", True), dtype=dtype)
        self.drop = nn.Dropout(dropout, rng=rng)
        self.blocks = nn.TransformerEncoder(
            n_layers,
            d_model,
            n_heads,
            d_ff,
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            eps=eps,
            dtype=dtype,
            rng=rng,
            init=_initial,
            **of_blocks,
        )
        parts: dict[str, Any] = {"embedding": self.embedding, "positions": self.positions}
        parts |= {"types": self.types, "relative": self.relative}
        parts |= {"norm": self.norm, "drop": self.drop, "blocks": self.blocks}
        super().__init__({name: part for name, part in parts.items() if part is not None})

    def forward(
        self, x: Ids, *, lengths: Any = None, types: Ids | None = None
    ) -> tuple[Array, Any]:
        """Return hidden vectors (B, T, d_model) for ids (B, T), and the context.

        Parameters
        ----------
        x : integers (B, T)
        lengths : integers (B,), optional
            How many tokens of each row count, from the first; the vectors of others mean nothing.
        types : integers (B, T), optional
            Types of the tokens; 0 by default.

        Raises
        ------
        TypeError, ValueError, IndexError
            An argument has the wrong type or shape, x is longer than max_len, or an id is out of
            range.
        """
        check_ids(x, types, self.types is not None, self.max_len)
        tables = self._tables(x, np.broadcast_to(np.arange(x.shape[1]), x.shape), types)
        e, ctx_n = self.norm.forward(self._sum(tables))
        e, ctx_d = self.drop.forward(e)
        mask = self._bias(x.shape[1])
        how = {} if lengths is None else {"lengths": np.asarray(lengths)}
        h, ctx_b = self.blocks.forward(e, mask=mask, **how)
        return h, (tables, ctx_n, ctx_d, ctx_b, mask)

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> None:
        """Add the gradients of the parameters; ids have none."""
        tables, ctx_n, ctx_d, ctx_b, mask = ctx
        if self.relative is not None:
            mask.gradient.fill(0)
        need = any(is_trained(part) for part in self._modules.values() if part is not self.blocks)
        need = need or (self.relative is not None and self.relative.requires_grad)
        de = self.blocks.backward(dy, ctx_b, need)
        if self.relative is not None:
            add_to_table(self.relative, mask)
        if not need:
            return
        de = self.drop.backward(de, ctx_d)
        assert de is not None
        de = self.norm.backward(de, ctx_n)
        for table, ids in tables:
            table.backward(de, ids)

    def __call__(self, x: Ids, *, lengths: Any = None, types: Ids | None = None) -> Array:
        """Return the hidden vectors; keep nothing for backward."""
        check_ids(x, types, self.types is not None, self.max_len)
        tables = self._tables(x, np.broadcast_to(np.arange(x.shape[1]), x.shape), types)
        how = {} if lengths is None else {"lengths": np.asarray(lengths)}
        return self.blocks(self.norm(self._sum(tables)), mask=self._bias(x.shape[1]), **how)

    def packed(self, ids: Ids, lengths: Any) -> Array:
        """Return hidden vectors (R, d_model) for sequences one after the other, without padding.

        Every layer runs over all rows at once, and attention over sequences of equal length that
        stand side by side.

        Parameters
        ----------
        ids : integers (R,)
        lengths : integers (n,)
            Of the sequences; their sum is R.

        Raises
        ------
        TypeError, ValueError, IndexError
            As `forward`.
        """
        lengths = np.asarray(lengths)
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
            raise TypeError(f"packed: lengths must be integers (n,), got {given(lengths)}")
        if getattr(ids, "shape", None) != (lengths.sum(),) or (lengths < 1).any():
            raise ValueError(
                f"packed: lengths must be at least 1 and add up to the ids, {np.shape(ids)}"
            )
        check_tokens(ids, int(lengths.max(initial=0)), self.max_len)
        within = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        e = self.norm(self._sum(self._tables(ids, within, None)))
        h: Array = self.blocks.walk(Packed(lengths, self._bias), e, (), {})
        return h

    def row_bytes(self) -> int:
        """Return the memory that a row of `packed` takes while it runs, at most."""
        first = self.blocks.blocks[0]
        d, wide = self.embedding.dim, first.feed_forward.up.out_features
        return (3 * d + max(wide, first.attention.qkv.out_features + d)) * self.norm.dtype.itemsize

    def _bias(self, length: int) -> Array | None:
        return None if self.relative is None else mask_by_distance(self.relative.data, length)

    def _tables(self, ids: Ids, positions: Ids, types: Ids | None) -> list[tuple[Any, Ids]]:
        """Return the tables and the row of each for every token."""
        tables: list[tuple[Any, Ids]] = []
        if self.positions is not None:
            tables.append((self.positions, positions + self.first_position))
        if self.types is not None:
            tables.append((self.types, np.zeros(ids.shape, np.int64) if types is None else types))
        return [*tables, (self.embedding, ids)]

    def _sum(self, tables: list[tuple[Any, Ids]]) -> Array:
        total: Array
        total, *others = (table(ids) for table, ids in tables)
        for vectors in others:
            np.add(total, vectors, out=total)
        return total

    def freeze(  # type: ignore[override]
        self, max_len: int | None = None, batch_max: int = 1024, *, weights: str | None = None
    ) -> kernels.Plan:
        """Return a copy for inference only, ``plan(ids, lengths=...)``, for tokens of type 0.

        C code runs it by its address, without the GIL (docs/embedding.md).

        Parameters
        ----------
        max_len : int, optional
            Longest sequence; by default, and at most, that of the model.
        batch_max : int
            Expected number of tokens in a call; more are processed in parts.
        weights : str, optional
            Their format, see `nn.freeze`; the plan has the bits of the model without one.
        """
        most = self.max_len if max_len is None else check_count("max_len", max_len, 1, self.max_len)
        builder = Builder(most, weights=weights)
        self._lower_ids(builder)
        return kernels.Plan(builder, check_count("batch_max", batch_max))

    def _lower_ids(self, b: Builder) -> None:
        """Add all operations; the table of positions and type 0 is a copy."""
        b.lower(self.embedding)
        if self.positions is not None:
            table = self.positions.weight.data[self.first_position :][: b.max_len]
            b.positions(table if self.types is None else table + self.types.weight.data[0])
        elif self.types is not None:
            raise NotLowerable("types without a table of positions cannot be part of a plan")
        b.lower(self.norm)
        if self.relative is not None:
            b.distance_bias = bias_by_distance(self.relative.data, b.max_len)
        b.lower(self.blocks)

    def example(self, input_shape: tuple[int, ...], dtype: Any = None) -> tuple[Array, ...]:
        """Return zero ids, for a summary."""
        return (np.zeros(input_shape, np.int64 if dtype is None else dtype),)

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count the sums of the embeddings."""
        return math.prod(input_shape) * self.embedding.dim * (1 + (self.types is not None))

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the config."""
        block = self.blocks.field_values()
        return {
            "vocab_size": self.vocab_size,
            "max_len": self.max_len,
            "n_types": self.n_types,
            "first_position": self.first_position,
            "buckets": self.buckets,
            **{key: block[key] for key in _OF_BLOCKS},
            "placement": self.blocks.blocks[0].placement,  # in a block None, beside norm_first
        }


def _initial(shape: tuple[int, ...], rng: np.random.Generator, dtype: DTypeLike) -> Array:
    return nn.init.truncated_normal(shape, rng, dtype, std=STD)
