"""Base class of token models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..checks import check_count, value_of
from ..nn import Embedding, Linear, Module
from ..nn.contexts import check_gradient
from ..nn.lowering import Builder, LoweredModel
from ..nn.precision import product
from ..parameters import Parameter
from .token_loss import add_product, token_loss, token_loss_and_grad

if TYPE_CHECKING:
    from ..train import History

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]


class TokenModel(Module):
    """A model whose inputs are token ids and whose outputs are logits over tokens.

    Below, x is the input of a batch: ids, or a tuple of arrays. A subclass computes hidden vectors
    from x; this class computes the output product and its loss.

    Attributes
    ----------
    max_len : int
    head : nn.Linear or None
        Output layer; with None, the output matrix is the transposed table of an embedding.
    """

    max_len: int
    head: Linear | None
    read_parts = ("head",)

    @abstractmethod
    def _tied(self) -> Embedding:
        """Return the embedding whose table is the output matrix if there is no head."""

    @abstractmethod
    def _hidden(self, x: Any) -> tuple[Array, Any]:
        """Return the input (B, T, d_model) of the output product in training, and its context."""

    @abstractmethod
    def _hidden_backward(self, dh: Array, ctx: Any, release: bool = False) -> None:
        """Add the gradients of everything in `_hidden`; with `release`, empty the context."""

    @abstractmethod
    def _infer(self, x: Any) -> Array:
        """Return `_hidden` in inference; keep nothing for backward."""

    @abstractmethod
    def _lower_hidden(self, b: Builder) -> None:
        """Add the operations of what decodes, from ids to the input of the output product."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_lower_hidden" in vars(cls):
            cls._lowered_as = cls.forward, cls.__call__

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._whole = LoweredModel(self, "_lower_hidden")
        self._steps = LoweredModel(self, "_lower_step")
        super().__init__(parts)

    def _lower_step(self, b: Builder) -> None:
        b.lower(self)

    def step(self, ids: Ids, cache: kernels.PlanState, lengths: Any = None) -> Array:
        """Append ids (B, n) to the cache; return the logits (B, vocabulary) of the next token.

        The weights are those of the model now, as are its activations.

        Parameters
        ----------
        ids : integers
        cache : kernels.PlanState
            The previous positions, from `new_cache`.
        lengths : integers (B,), optional
            How many of the n ids of each row are valid, from the first, at least 1; all by default.
            The others are not read.

        Raises
        ------
        TypeError, ValueError
            An argument has the wrong type or shape, a length is out of range, or there is no room;
            the cache is left unchanged.
        IndexError
            An id is out of range; the cache is left unchanged.
        """
        room = cache.max_len if isinstance(cache, kernels.PlanState) else 1
        return self._steps.steps(room).step(ids, cache, lengths)

    def lower(self, b: Builder) -> None:
        """Add the operations of a step: the logits of each sequence's last position only."""
        self._lower_hidden(b)
        b.last()
        b.dense(self._head())

    def backward(self, dy: Array, ctx: Any, need_dx: bool = True) -> None:
        """Add the gradients of the parameters; ids have none."""
        h, ctx = ctx
        check_gradient(self, dy, (*h.shape[:-1], self._head().shape[1]), h.dtype)
        rows, dy = h.reshape(-1, h.shape[-1]), dy.reshape(-1, dy.shape[-1])
        dh = product(dy, self._head().T)
        dw, stores = self._head_grad()
        if dw is not None:
            add_product(rows, dy, dw, store=stores)
            self._head_parameter().stored()
        self._hidden_backward(dh.reshape(h.shape), ctx)

    def loss_and_grad(
        self,
        x: Any,
        targets: Ids,
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        scale: float = 1.0,
    ) -> tuple[float, int]:
        """Add the gradients of a training pass; return the mean loss and how many targets count.

        Equivalent to `forward`, `nn.cross_entropy` and `backward`, but never holds all logits.

        Parameters
        ----------
        x : ids (B, T), or what `forward` takes as a tuple: (src, tgt) or (src, tgt, src_lengths)
        targets : integers (B, T)
            The next tokens: ids, or tgt, shifted by one.
        ignore_index : int
            Targets with this value do not count.
        label_smoothing : float
            As in `nn.cross_entropy`.
        scale : float
            Factor of the gradients.
        """
        h, ctx = self._hidden(x)
        dw, stores = self._head_grad()
        loss, n, dh = token_loss_and_grad(
            h,
            self._head(),
            targets,
            dw,
            store_dw=stores,
            ignore_index=ignore_index,
            label_smoothing=label_smoothing,
            scale=scale,
        )
        if n:
            self._head_parameter().stored()
        self._hidden_backward(dh, ctx, release=True)
        return loss, n

    def loss(
        self, x: Any, targets: Ids, *, ignore_index: int = -100, label_smoothing: float = 0.0
    ) -> tuple[float, int]:
        """Return the mean loss and how many targets count, without dropout or gradients."""
        how: dict[str, Any] = {"ignore_index": ignore_index, "label_smoothing": label_smoothing}
        return token_loss(self._infer(x), self._head(), targets, **how)

    def fit(
        self,
        batches: Iterable[Any],
        *,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        **options: Any,
    ) -> History:
        """Train on batches (x, targets): `fastnn.fit` with `TokenLoss`.

        Parameters
        ----------
        batches : iterable
            Such as `data.crops` or `data.token_batches`; x as in `loss_and_grad`.
        ignore_index : int
            Targets with this value do not count.
        label_smoothing : float
            In training only, not in the validation loss.
        **options
            Options of `fastnn.fit`: optimizer, epochs, steps_per_epoch, validation_data, ...
        """
        from ..train import TokenLoss, fit  # lazily: importing fastnn.models does not need it

        loss = TokenLoss(label_smoothing=label_smoothing, ignore_index=ignore_index)
        return fit(self, batches, loss=loss, **options)

    def example(self, input_shape: tuple[int, ...], dtype: Any = None) -> tuple[Array, ...]:
        """Return zero ids, for a summary."""
        return (np.zeros(input_shape, np.int64 if dtype is None else dtype),)

    def _head_parameter(self) -> Parameter:
        return self._tied().weight if self.head is None else self.head.weight

    def _head(self) -> Array:
        weight = self._head_parameter().data
        return weight.T if self.head is None else weight

    def _head_grad(self) -> tuple[Array | None, bool]:
        """Return the gradient of the output matrix, and whether it is stored: `to_store`."""
        dw, stores = self._head_parameter().to_store()
        return dw.T if self.head is None and dw is not None else dw, stores

    def _room(self, max_len: int | None) -> int:
        """Return the positions of a cache or plan: max_len, by default all of the model's."""
        room = self.max_len if max_len is None else check_count("max_len", max_len)
        if room > self.max_len:
            raise ValueError(
                f"{type(self).__name__}: max_len {value_of(room)} is more than "
                f"the model's {self.max_len}"
            )
        return room

    def _check_ids(self, name: str, ids: Any) -> None:
        shape, model = getattr(ids, "shape", None), type(self).__name__
        if shape is None or len(shape) != 2:
            raise ValueError(f"{model}: {name} must be an array (batch, positions), got {shape}")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"{model}: {name} must be integers, got {ids.dtype}")
        if shape[1] > self.max_len:
            raise ValueError(
                f"{model}: {name} has {shape[1]} positions, more than max_len {self.max_len}"
            )
