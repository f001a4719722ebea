"""A frozen encoder-decoder: two plans, and states that hold an encoded source."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .beam import Hypothesis, beam_search

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]


class FrozenSeq2Seq:
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
    """

    def __init__(self, encoder: kernels.Plan, decoder: kernels.Plan) -> None:
        self.encoder, self.decoder = encoder, decoder

    @property
    def max_len(self) -> int:
        """Largest number of positions of the target."""
        return self.decoder.max_len

    @property
    def nbytes(self) -> int:
        """Bytes of both plans."""
        return self.encoder.nbytes + self.decoder.nbytes

    def encode(self, src: Ids, src_lengths: Any = None) -> Array:
        """Return the encoding (B, S, d_model) of src (B, S)."""
        return self.encoder(src, lengths=src_lengths)

    def new_cache(
        self, src: Ids, src_lengths: Any = None, max_len: int | None = None
    ) -> kernels.PlanState:
        """Return a state for `step` that has read src (B, S), with room for max_len positions."""
        memory = self.encode(src, src_lengths)
        how: dict[str, Any] = {"memory": memory, "memory_lengths": src_lengths}
        return self.decoder.new_state(len(memory), max_len, **how)

    def step(self, ids: Ids, cache: kernels.PlanState, lengths: Any = None) -> Array:
        """Return the logits (B, tgt_vocab_size) after ids (B, n): see `kernels.Plan.step`."""
        return self.decoder.step(ids, cache, lengths)

    def generate(
        self, src: Ids, src_lengths: Any = None, *, max_len: int, **options: Any
    ) -> list[list[Hypothesis]]:
        """Return the best outputs for each row of src: see `Seq2SeqTransformer.generate`."""
        cache = self.new_cache(src, src_lengths, max_len)
        return beam_search(self, cache, max_len=max_len, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a FrozenSeq2Seq cannot be pickled: pickle the model and freeze it again")

    def __repr__(self) -> str:
        return f"FrozenSeq2Seq({self.encoder!r}, {self.decoder!r})"
