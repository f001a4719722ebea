"""An encoder with pooling as a layer, to train sentence encoders and classifiers of texts."""

from __future__ import annotations

from itertools import groupby
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..checks import check_choice, check_flag, given
from ..nn.contexts import check_gradient
from ..nn.module import Shapes
from ..nn.registry import prefixed
from .encoder import TransformerEncoderModel

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]

POOLINGS = ("mean", "cls", "last")


@nn.register("PooledEncoder")
class PooledEncoder(nn.Module):
    """One vector (B, d_model) for each row of ids (B, T): the pooled vectors of its tokens.

    Ids below 0 are padding at the end of a row, so that a batch is one array and `fastnn.fit`,
    `data.batches` and `nn.Sequential` work as for any other layer:
    ``nn.Sequential(PooledEncoder(model), nn.Linear(384, 3))`` is a classifier of texts.

    Parameters
    ----------
    encoder : TransformerEncoderModel
    pooling : {"mean", "cls", "last"}
        As in `SentenceEncoder`, whose `layer` makes one and `ids` the batches.
    normalize : bool
        True if vectors have the norm 1.

    Examples
    --------
    >>> encoder = fastnn.models.TransformerEncoderModel(50, 16, 2, 1, 32, 8, rng=0)
    >>> layer = fastnn.models.PooledEncoder(encoder)
    >>> layer(np.array([[4, 5, 6], [7, -1, -1]])).shape
    (2, 16)
    """

    fields: ClassVar = {
        "encoder": nn.Module,
        "pooling": (str, "mean"),
        "normalize": (bool, True),
    }

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the encoder."""
        return prefixed({"encoder": nn.parameter_shapes(fields["encoder"])})

    def __init__(
        self, encoder: TransformerEncoderModel, pooling: str = "mean", normalize: bool = True
    ) -> None:
        if not isinstance(encoder, TransformerEncoderModel):
            raise TypeError(f"encoder must be a TransformerEncoderModel, got {given(encoder)}")
        self.encoder = encoder
        self.pooling = check_choice("pooling", pooling, POOLINGS)
        self.normalize = check_flag("normalize", normalize)
        super().__init__({"encoder": encoder})

    def forward(self, x: Ids) -> tuple[Array, Any]:
        """Return vectors (B, d_model) for ids (B, T), and the context.

        Raises
        ------
        TypeError, ValueError, IndexError
            x is not an array of integers (B, T), has padding that is not at the end of a row, or an
            id is out of range.
        """
        if getattr(x, "ndim", None) != 2 or x.dtype.kind not in "iu":
            raise TypeError(f"PooledEncoder: x must be integers (batch, tokens), got {given(x)}")
        counts = x >= 0
        lengths = counts.sum(axis=1)
        if (lengths < 1).any() or (counts != (np.arange(x.shape[1]) < lengths[:, None])).any():
            raise ValueError(
                "PooledEncoder: each row of x has an id, and ids below 0 only behind the last one"
            )
        h, ctx = self.encoder.forward(np.maximum(x, 0), lengths=lengths)
        weights = self._weights(lengths, x.shape[1]).astype(h.dtype)
        y = np.einsum("bt,btd->bd", weights, h)
        norms = np.ones((len(y), 1), h.dtype)
        if self.normalize:
            norms = np.sqrt(np.square(y).sum(axis=1, keepdims=True))
            norms[norms == 0] = 1
            y = y / norms
        return y, (ctx, h.shape, weights, y, norms)

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> None:
        """Add the gradients of the encoder; ids have none."""
        ctx, shape, weights, y, norms = ctx
        check_gradient(self, dy, y.shape, y.dtype)
        if self.normalize:
            dy = (dy - y * (dy * y).sum(axis=1, keepdims=True)) / norms
        dh = np.empty(shape, y.dtype)
        np.multiply(weights[:, :, None], dy[:, None], out=dh)
        self.encoder.backward(dh, ctx)

    def _weights(self, lengths: Ids, T: int) -> Array:
        """Return the weights (B, T) of the tokens in the vector of a row."""
        places = np.arange(T)
        if self.pooling == "mean":
            return (places < lengths[:, None]) / lengths[:, None]
        at = 0 if self.pooling == "cls" else lengths[:, None] - 1
        return np.broadcast_to(places == at, (len(lengths), T)).astype(float)

    def example(self, input_shape: tuple[int, ...], dtype: Any = None) -> tuple[Array, ...]:
        """Return zero ids, for a summary."""
        return self.encoder.example(input_shape, dtype)

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count the sums of vectors."""
        return 2 * input_shape[0] * input_shape[1] * self.encoder.embedding.dim


def pool(hidden: Array, lengths: NDArray[np.integer[Any]], pooling: str) -> Array:
    """Return one vector (n, d) for each sequence of packed rows (R, d)."""
    ends = np.cumsum(lengths)
    if pooling != "mean":
        chosen: Array = hidden[ends - 1 if pooling == "last" else ends - lengths]
        return chosen
    means, start = [], 0
    for T, run in groupby(lengths):
        stop = start + int(T) * len(list(run))
        some = hidden[start:stop].reshape(-1, int(T), hidden.shape[1])
        means.append(some.mean(axis=1, dtype=np.float64).astype(hidden.dtype))
        start = stop
    return np.concatenate(means)
