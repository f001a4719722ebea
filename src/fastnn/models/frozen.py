"""A frozen encoder-decoder: two plans, and states that remember a source."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .beam import Hypothesis, beam_search

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]


class FrozenSeq2Seq:
    """What ``freeze()`` of a `Seq2SeqTransformer` makes: its inference, with copies of the weights.

    It has the `encode`, `new_cache`, `step` and `generate` of the model. Any number of threads may
    use one, each with caches of its own. C steps the decoder by ``decoder.address`` and the address
    of a cache (docs/embedding.md).

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
        """Positions of the target at most."""
        return self.decoder.max_len

    @property
    def nbytes(self) -> int:
        """Bytes of both plans."""
        return self.encoder.nbytes + self.decoder.nbytes

    def encode(self, src: Ids, src_lengths: Any = None) -> Array:
        """What the encoder makes of src (B, S): (B, S, d_model)."""
        return self.encoder(src, lengths=src_lengths)

    def new_cache(
        self, src: Ids, src_lengths: Any = None, max_len: int | None = None
    ) -> kernels.PlanState:
        """A state for `step` that has read src (B, S), with room for max_len positions."""
        memory = self.encode(src, src_lengths)
        how: dict[str, Any] = {"memory": memory, "memory_lengths": src_lengths}
        return self.decoder.new_state(len(memory), max_len, **how)

    def step(self, ids: Ids, cache: kernels.PlanState, lengths: Any = None) -> Array:
        """The logits (B, tgt_vocab_size) of the token after ids (B, n): see `kernels.Plan.step`."""
        return self.decoder.step(ids, cache, lengths)

    def generate(
        self, src: Ids, src_lengths: Any = None, *, max_len: int, **options: Any
    ) -> list[list[Hypothesis]]:
        """The best outputs for each row of src: see `Seq2SeqTransformer.generate`."""
        cache = self.new_cache(src, src_lengths, max_len)
        return beam_search(self, cache, max_len=max_len, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a FrozenSeq2Seq cannot be pickled: pickle the model and freeze it again")

    def __repr__(self) -> str:
        return f"FrozenSeq2Seq({self.encoder!r}, {self.decoder!r})"
