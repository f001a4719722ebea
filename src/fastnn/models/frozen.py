"""What encoder-decoders share, and a frozen one: two plans, and states with an encoded source."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .beam import Hypothesis, beam_search

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]


class Translator:
    """A source is encoded once; the state of the decoder holds what it attends to."""

    @abstractmethod
    def encode(self, src: Ids, src_lengths: Any = None) -> Array:
        """Return the encoding (B, S, d_model) of src (B, S)."""

    @abstractmethod
    def _decoder_plan(self, max_len: int | None) -> tuple[kernels.Plan, int | None]:
        """Return the decoder, and the positions that a state has room for."""

    def new_cache(
        self,
        src: Ids,
        src_lengths: Any = None,
        max_len: int | None = None,
        *,
        dtype: str | None = None,
    ) -> kernels.PlanState:
        """Return a cache for `step` that has read src (B, S), with room for max_len positions.

        By default, and at most, it has room for the model's max_len. With dtype "bf16" or "int8"
        the target's keys and values take 16 or 8 bits.
        """
        plan, room = self._decoder_plan(max_len)
        memory = self.encode(src, src_lengths)
        how: dict[str, Any] = {"memory": memory, "memory_lengths": src_lengths, "dtype": dtype}
        return plan.new_state(len(memory), room, **how)

    def generate(
        self,
        src: Ids,
        src_lengths: Any = None,
        *,
        bos: int,
        eos: int | None,
        max_len: int,
        **options: Any,
    ) -> list[list[Hypothesis]]:
        """Return the best outputs for each row of src by beam search: see `models.beam_search`."""
        how: dict[str, Any] = {"bos": bos, "eos": eos, "max_len": max_len, **options}
        return beam_search(self, self.new_cache(src, src_lengths, max_len), **how)


class FrozenSeq2Seq(Translator):
    """The result of ``Seq2SeqTransformer.freeze()``: inference with copies of the weights.

    It has the `encode`, `new_cache`, `step` and `generate` of the model. Any number of threads may
    use one, each with its own caches. C code steps the decoder through ``decoder.address`` and the
    address of a cache (docs/embedding.md).

    Attributes
    ----------
    encoder : kernels.Plan
        From ids (B, S) to the memory (B, S, d_model).
    decoder : kernels.Plan
        Its states need a memory.
    shared : bool
        True if both sides have one vocabulary.

    Examples
    --------
    >>> model = fastnn.models.Seq2SeqTransformer(50, d_model=16, n_layers=1, max_len=8, rng=0)
    >>> frozen = model.freeze()
    >>> frozen.encode(np.array([[4, 5, 6]])).shape
    (1, 3, 16)
    """

    def __init__(self, encoder: kernels.Plan, decoder: kernels.Plan, shared: bool = True) -> None:
        self.encoder, self.decoder, self.shared = encoder, decoder, shared

    @property
    def max_len(self) -> int:
        """Largest number of positions of the target."""
        return self.decoder.max_len

    @property
    def vocab_sizes(self) -> tuple[int, int]:
        """Tokens of the source and of the target."""
        return self.encoder.vocab_size, self.decoder.vocab_size

    @property
    def nbytes(self) -> int:
        """Bytes of both plans."""
        return self.encoder.nbytes + self.decoder.nbytes

    def encode(self, src: Ids, src_lengths: Any = None) -> Array:
        """Return the encoding (B, S, d_model) of src (B, S)."""
        return self.encoder(src, lengths=src_lengths)

    def step(self, ids: Ids, cache: kernels.PlanState, lengths: Any = None) -> Array:
        """Return the logits (B, tgt_vocab_size) after ids (B, n): see `kernels.Plan.step`."""
        return self.decoder.step(ids, cache, lengths)

    def _decoder_plan(self, max_len: int | None) -> tuple[kernels.Plan, int | None]:
        return self.decoder, max_len

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "a FrozenSeq2Seq cannot be pickled or copied: pickle the model and freeze it again"
        )

    def __repr__(self) -> str:
        return f"FrozenSeq2Seq({self.encoder!r}, {self.decoder!r})"
