"""The encoder-decoder Transformer."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import kernels, nn
from ..checks import check_count, check_dtype, check_flag, check_generator
from ..nn.linear import Seed
from ..nn.lowering import Builder, LoweredModel
from ..nn.module import Shapes
from ..nn.positional import check_max_len
from ..nn.precision import product
from ..nn.registry import prefixed
from ..nn.transformer import check_layers
from .attention_maps import Seq2SeqWeights, run_stack
from .frozen import FrozenSeq2Seq, Translator
from .tokens import TokenModel

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]
Source = tuple[Ids, Ids] | tuple[Ids, Ids, Any]


@nn.register("Seq2SeqTransformer", rng=0)
class Seq2SeqTransformer(Translator, TokenModel):
    """Map one sequence to another: *Dive into Deep Learning*, section 11.7.

    Vaswani et al., "Attention is all you need", NeurIPS 2017. Initial weights are Xavier uniform,
    embeddings normal with standard deviation 1 / sqrt(d_model).

    Parameters
    ----------
    src_vocab_size : int
    tgt_vocab_size : int, optional
        With None both sides share one vocabulary and one table of embeddings.
    d_model, n_heads : int
    n_layers : int
        Blocks of the encoder.
    n_decoder_layers : int, optional
        Blocks of the decoder; n_layers by default.
    d_ff : int, optional
        Hidden units of the feed-forward networks; 4 d_model by default.
    max_len : int
        Longest sequence on either side; at most 2^20.
    dropout, attention_dropout : float
        Dropout of embeddings and of what each part of a block adds, and of attention weights (by
        default `dropout`), in training only.
    activation, bias, eps
        As in `nn.EncoderBlock`.
    norm_first : bool
        True for pre-norm, False for the book's post-norm.
    final_norm : bool, optional
        True if a norm follows the last block of each stack; by default only if norm_first.
    tie_weights : bool
        True if the target embedding is also the output matrix.
    scale_embedding : bool
        True if embeddings are multiplied by sqrt(d_model), as in the book.
    position : {"sinusoidal", "learned"}
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    embedding : nn.Embedding
        Of the source; of both sides if they share a vocabulary.
    tgt_embedding : nn.Embedding
    positions : nn.PositionalEncoding
        Shared by both sides; in training each side drops different elements.
    encoder : nn.TransformerEncoder
    decoder : nn.TransformerDecoder
    head : nn.Linear or None

    Examples
    --------
    >>> model = fastnn.models.Seq2SeqTransformer(50, d_model=16, n_layers=1, max_len=8, rng=0)
    >>> src, tgt = np.array([[4, 5, 6]]), np.array([[1, 7]])
    >>> model(src, tgt).shape
    (1, 2, 50)
    """

    fields: ClassVar = {
        "src_vocab_size": int,
        "tgt_vocab_size": (int | None, None),
        "d_model": (int, 256),
        "n_heads": (int, 4),
        "n_layers": (int, 2),
        "n_decoder_layers": int,
        "d_ff": int,
        "max_len": (int, 1000),
        "dropout": (float, 0.1),
        "attention_dropout": float,
        "activation": (str | None, "relu"),
        "norm_first": (bool, False),
        "final_norm": bool,
        "bias": (bool, True),
        "eps": (float, 1e-5),
        "tie_weights": (bool, True),
        "scale_embedding": (bool, True),
        "position": (str, "sinusoidal"),
        "dtype": (str, "float32"),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of its parts, in order."""
        d, dtype, max_len = fields["d_model"], fields["dtype"], check_max_len(fields["max_len"])
        vocab_size = check_count("src_vocab_size", fields["src_vocab_size"])
        parts: dict[str, Shapes] = {"embedding": {"weight": ((vocab_size, d), dtype)}}
        if fields["tgt_vocab_size"] is not None:
            vocab_size = check_count("tgt_vocab_size", fields["tgt_vocab_size"])
            parts["tgt_embedding"] = {"weight": ((vocab_size, d), dtype)}
        if fields["position"] == "learned":
            parts["positions"] = {"weight": ((max_len, d), dtype)}
        block = {**fields, "n_kv_heads": fields["n_heads"], "norm": "layer"}
        parts["encoder"] = nn.TransformerEncoder.shapes(block)
        block["n_layers"] = check_layers("n_decoder_layers", fields["n_decoder_layers"])
        parts["decoder"] = nn.TransformerDecoder.shapes(block)
        if not fields["tie_weights"]:
            parts["head"] = {"weight": ((d, vocab_size), dtype)}
        return prefixed(parts)

    def __init__(
        self,
        src_vocab_size: int,
        tgt_vocab_size: int | None = None,
        d_model: int = 256,
        n_heads: int = 4,
        n_layers: int = 2,
        *,
        n_decoder_layers: int | None = None,
        d_ff: int | None = None,
        max_len: int = 1000,
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        activation: str = "relu",
        norm_first: bool = False,
        final_norm: bool | None = None,
        bias: bool = True,
        eps: float = 1e-5,
        tie_weights: bool = True,
        scale_embedding: bool = True,
        position: Literal["sinusoidal", "learned"] = "sinusoidal",
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
    ) -> None:
        self.shared = tgt_vocab_size is None
        self.max_len = check_max_len(max_len)
        self.scale_embedding = check_flag("scale_embedding", scale_embedding)
        dtype, rng = check_dtype(dtype), check_generator("rng", rng)
        parts: dict[str, Any] = self._new_embeddings(
            src_vocab_size, tgt_vocab_size, d_model, dtype=dtype, rng=rng
        )
        self.positions = nn.PositionalEncoding(
            d_model, max_len, kind=position, dropout=dropout, dtype=dtype, rng=rng
        )
        options: dict[str, Any] = {
            "activation": activation,
            "dropout": dropout,
            "attention_dropout": dropout if attention_dropout is None else attention_dropout,
            "norm_first": norm_first,
            "final_norm": final_norm,
            "eps": eps,
            "bias": bias,
            "dtype": dtype,
            "rng": rng,
        }
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.encoder = nn.TransformerEncoder(n_layers, d_model, n_heads, d_ff, **options)
        if n_decoder_layers is not None:
            n_layers = check_layers("n_decoder_layers", n_decoder_layers)
        self.decoder = nn.TransformerDecoder(n_layers, d_model, n_heads, d_ff, **options)
        parts |= {"positions": self.positions, "encoder": self.encoder, "decoder": self.decoder}
        self.head: nn.Linear | None = None
        if not tie_weights:
            vocab_size = self.tgt_embedding.num
            self.head = nn.Linear(d_model, vocab_size, False, dtype=dtype, rng=rng)
            parts["head"] = self.head
        self._encoder = LoweredModel(self, "_lower_encoder")
        super().__init__(parts)

    def _new_embeddings(
        self, src_vocab_size: int, tgt_vocab_size: int | None, d_model: int, **options: Any
    ) -> dict[str, nn.Embedding]:
        """Set the embeddings of source and target, and return those that have a table."""
        options["std"] = check_count("d_model", d_model) ** -0.5
        options["scale"] = math.sqrt(d_model) if self.scale_embedding else None
        size = check_count("src_vocab_size", src_vocab_size)
        self.embedding = self.tgt_embedding = nn.Embedding(size, d_model, **options)
        parts = {"embedding": self.embedding}
        if tgt_vocab_size is not None:
            size = check_count("tgt_vocab_size", tgt_vocab_size)
            self.tgt_embedding = nn.Embedding(size, d_model, **options)
            parts["tgt_embedding"] = self.tgt_embedding
        return parts

    def forward(  # type: ignore[override]
        self, src: Ids, tgt: Ids, src_lengths: Any = None
    ) -> tuple[Array, Any]:
        """Return logits (B, T, tgt_vocab_size) for tgt (B, T); each predicts the next token.

        Parameters
        ----------
        src : integers (B, S)
        tgt : integers (B, T)
            Input of the decoder, usually <bos> and then the target.
        src_lengths : integers (B,), optional
            How many ids of each row of src count, from the first.

        Raises
        ------
        TypeError, ValueError
            Types or shapes do not fit, or an id is out of range.
        """
        h, ctx = self._hidden((src, tgt, src_lengths))
        return product(h, self._head()), (h, ctx)

    def __call__(  # type: ignore[override]
        self, src: Ids, tgt: Ids, src_lengths: Any = None
    ) -> Array:
        """Return the logits; keep nothing for backward. See `forward`."""
        return kernels.matmul(self._infer((src, tgt, src_lengths)), self._head())

    def encode(self, src: Ids, src_lengths: Any = None) -> Array:
        """Return the encoding (B, S, d_model) of src (B, S)."""
        self._check_ids("src", src)
        memory: Array = self._encoder(self._encode, src, lengths=src_lengths)
        return memory

    def _decoder_plan(self, max_len: int | None) -> tuple[kernels.Plan, int]:
        room = self._room(max_len)
        return self._steps.steps(room), room

    def freeze(  # type: ignore[override]
        self, max_len: int | None = None, *, weights: str | None = None
    ) -> FrozenSeq2Seq:
        """Return a `FrozenSeq2Seq`: inference only, with copies of the weights.

        max_len is the largest number of target positions; by default, and at most, the model's.
        `weights` is their format: see `nn.freeze`.
        """
        encoder = Builder(self.max_len, weights=weights)
        self._lower_encoder(encoder)
        decoder = Builder(self._room(max_len), weights=weights)
        decoder.lower(self)
        return FrozenSeq2Seq(kernels.Plan(encoder), kernels.Plan(decoder), self.shared)

    @property
    def vocab_sizes(self) -> tuple[int, int]:
        """Tokens of the source and of the target."""
        return self.embedding.num, self.tgt_embedding.num

    def attention_weights(self, src: Ids, tgt: Ids, src_lengths: Any = None) -> Seq2SeqWeights:
        """Return the attention weights for the arguments of `forward`, without dropout."""
        self._check_ids("src", src)
        self._check_ids("tgt", tgt)
        x = self.positions(self.embedding(src))
        memory, encoder = run_stack(self.encoder, x, lengths=src_lengths)
        x = self.positions(self.tgt_embedding(tgt))
        _, decoder = run_stack(self.decoder, x, memory, memory_lengths=src_lengths)
        own, cross = ([both[i] for both in decoder] for i in (0, 1))
        return Seq2SeqWeights([weights for (weights,) in encoder], own, cross)

    def _encode(self, src: Ids, lengths: Any = None) -> tuple[Array, Any]:
        e, ctx = self.embedding.forward(src)
        e, ctx_pos = self.positions.forward(e)
        memory, ctx_encoder = self.encoder.forward(e, lengths=lengths)
        return memory, (ctx, ctx_pos, ctx_encoder)

    def _decode(self, tgt: Ids, memory: Array, memory_lengths: Any = None) -> tuple[Array, Any]:
        e, ctx = self.tgt_embedding.forward(tgt)
        e, ctx_pos = self.positions.forward(e)
        h, ctx_decoder = self.decoder.forward(e, memory, memory_lengths=memory_lengths)
        return h, (ctx, ctx_pos, ctx_decoder)

    def _hidden(self, x: Source) -> tuple[Array, Any]:
        src, tgt, src_lengths = (*x, None)[:3]
        self._check_ids("src", src)
        self._check_ids("tgt", tgt)
        memory, ctx_src = self._encode(src, src_lengths)
        h, ctx_tgt = self._decode(tgt, memory, src_lengths)
        return h, (*ctx_src, *ctx_tgt)

    def _hidden_backward(self, dh: Array, ctx: Any, release: bool = False) -> None:
        ctx_src, ctx_src_pos, ctx_encoder, ctx_tgt, ctx_tgt_pos, ctx_decoder = ctx
        de, dmemory = self.decoder.backward(dh, ctx_decoder, release=release)
        de = self.positions.backward(de, ctx_tgt_pos)
        assert de is not None
        self.tgt_embedding.backward(de, ctx_tgt)
        de = self.encoder.backward(dmemory, ctx_encoder, release=release)
        de = self.positions.backward(de, ctx_src_pos)
        assert de is not None
        self.embedding.backward(de, ctx_src)

    def _infer(self, x: Source) -> Array:
        src, tgt, src_lengths = (*x, None)[:3]
        self._check_ids("tgt", tgt)
        memory = self.encode(src, src_lengths)
        h: Array = self._whole(self._decode, tgt, memory, memory_lengths=src_lengths)
        return h

    def _lower_encoder(self, b: Builder) -> None:
        for part in (self.embedding, self.positions, self.encoder):
            b.lower(part)

    def _lower_hidden(self, b: Builder) -> None:
        for part in (self.tgt_embedding, self.positions, self.decoder):
            b.lower(part)

    def _tied(self) -> nn.Embedding:
        return self.tgt_embedding

    def example(self, input_shape: tuple[int, ...], dtype: Any = None) -> tuple[Array, ...]:
        """Return zero ids for both sides, for a summary."""
        return super().example(input_shape, dtype) * 2

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count 2 d_model tgt_vocab_size operations per target position, for the output product."""
        tgt = others[0] if others else input_shape
        return 2 * math.prod(tgt) * self.embedding.dim * self.tgt_embedding.num

    def field_values(self) -> dict[str, Any]:
        """Return the fields of the config."""
        block = self.encoder.field_values()
        same: tuple[str, ...] = ("d_model", "n_heads", "n_layers", "d_ff", "attention_dropout")
        same += ("activation", "norm_first", "final_norm", "bias", "eps", "dropout", "dtype")
        return {
            "src_vocab_size": self.embedding.num,
            "tgt_vocab_size": None if self.shared else self.tgt_embedding.num,
            **{key: block[key] for key in same},
            "n_decoder_layers": len(self.decoder),
            "max_len": self.max_len,
            "tie_weights": self.head is None,
            "scale_embedding": self.scale_embedding,
            "position": self.positions.kind,
        }
