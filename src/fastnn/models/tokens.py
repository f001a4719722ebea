"""What models of tokens share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..nn import Module

if TYPE_CHECKING:
    from ..train import History

Array = NDArray[Any]


class TokenModel(Module):
    """A model whose input are ids of tokens, and whose output are logits for tokens.

    A subclass has `loss_and_grad(x, targets)` and `loss(x, targets)` beside `forward` and `backward`.
    """

    def fit(
        self,
        batches: Iterable[Any],
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        **options: Any,
    ) -> History:
        """Train on batches (x, targets): `fastnn.fit` with the loss of the targets that count.

        Parameters
        ----------
        batches : iterable
            Such as `data.crops` or `data.token_batches`; x as for `loss_and_grad`.
        ignore_index : int
            A target that does not count.
        label_smoothing : float
            In training; the validation loss is without.
        **options
            Of `fastnn.fit`: optimizer, epochs, steps_per_epoch, validation_data, callbacks and so on.
        """
        from ..train import TokenLoss, fit  # which knows no model, but is on the same floor

        loss = TokenLoss(label_smoothing=label_smoothing, ignore_index=ignore_index)
        return fit(self, batches, loss=loss, **options)

    def example(self, input_shape: tuple[int, ...], dtype: Any = None) -> tuple[Array, ...]:
        """Ids of zeros to run a summary with."""
        return (np.zeros(input_shape, np.int64 if dtype is None else dtype),)


def last_of(h: Array, lengths: Any) -> Array:
    """Of h (B, n, d) the last position of each row, (B, d); with lengths, the last of so many."""
    if lengths is None:
        return np.ascontiguousarray(h[:, -1])
    last: Array = h[np.arange(len(h)), np.asarray(lengths) - 1]
    return last
