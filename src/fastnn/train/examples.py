"""Examples, targets and weights as arrays, checked before the first step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..checks import users_level, value_of
from ..interop import asarray

LAST_LABEL = np.iinfo(np.int64).max


class Batch(NamedTuple):
    """Examples, targets, and a weight per row or None.

    The examples of a model with several inputs are a tuple.
    """

    x: Any
    y: NDArray[Any]
    weight: NDArray[Any] | None = None

    @property
    def inputs(self) -> tuple[NDArray[Any], ...]:
        """The inputs of the model."""
        return self.x if isinstance(self.x, tuple) else (self.x,)

    def rows(self, rows: slice) -> Batch:
        """Return these rows, as views."""
        x = tuple(each[rows] for each in self.inputs)
        weight = None if self.weight is None else self.weight[rows]
        return Batch(x if isinstance(self.x, tuple) else x[0], self.y[rows], weight)


def as_array(
    name: str, value: Any, dtype: np.dtype[Any], *, take_integers: bool = False
) -> NDArray[Any]:
    """Return `value` as an array of numbers with at least one axis; raise a named TypeError if not.

    Real numbers become `dtype`, with a note unless they are in a list; with `take_integers`
    integers in a list too.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and its mask would be ignored: give x.filled()")
    if isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "biufc":
        return _as_dtype(name, value, dtype)
    if isinstance(value, list) or hasattr(value, "__array__"):
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f"{name} must be an array of numbers, and this {type(value).__name__} cannot be "
                f"read as one: {error!s:.120}"
            ) from error
    elif hasattr(value, "__dlpack__"):
        array = asarray(value)
    else:
        array = np.empty((), object)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        kind = f" of {array.dtype}" if array.ndim else ""
        hint = f"; give {name[-1]}.astype(np.{dtype})" if array.ndim else ""
        if array.ndim == 1 and array.dtype.kind in "OUS":
            hint = "; integers for names: np.unique(y, return_inverse=True)[1]"
        raise TypeError(
            f"{name} must be an array of numbers, got {type(value).__name__}{kind}{hint}"
        )
    if isinstance(value, list) and array.dtype.kind in ("fiu" if take_integers else "f"):
        return array.astype(dtype)
    return _as_dtype(name, array, dtype)


def _as_dtype(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return real numbers in the dtype of the model, converted once with a note."""
    if array.dtype.kind != "f" or array.dtype == dtype or isinstance(array, np.memmap):
        return array  # a memory map is read batch by batch, and never as a whole
    warnings.warn(
        f"{name} is {array.dtype} and was converted to {dtype}, the dtype of the model; "
        f"{name.split()[-1]}.astype(np.{dtype}) does it once for all calls",
        UserWarning,
        stacklevel=users_level(),
    )
    return array.astype(dtype)


def as_numbers(x: Any, model: nn.Module, dtype: np.dtype[Any]) -> Any:
    """Return whole numbers, such as pixels from 0 to 255, in the dtype of a model of numbers.

    Models with an embedding, and layers that are not fastnn's own, may want integers.
    """
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if kind not in ("i", "u", "b") or isinstance(x, np.memmap):
        return x
    for _, layer in model.modules():
        if isinstance(layer, nn.Embedding) or not type(layer).__module__.startswith("fastnn.nn."):
            return x
    return np.asarray(x).astype(dtype)


def check_examples(x_name: str, x: NDArray[Any], y_name: str, y: NDArray[Any]) -> None:
    """Raise ValueError unless both have the same number of rows, at least one."""
    if len(x) != len(y):
        raise ValueError(f"{x_name} has {len(x)} rows {x.shape}, {y_name} has {len(y)} {y.shape}")
    if len(x) == 0:
        raise ValueError(f"{x_name} has no rows: its shape is {x.shape}")


def check_weights(weights: Any, n: int, dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Return `weights` as an array (n,) of dtype, or None."""
    if weights is None:
        return None
    array = np.asarray(weights)
    if array.dtype.kind not in "fiub" or array.shape != (n,):
        raise ValueError(
            f"sample_weight must be {n} numbers, one for each row, got {array.dtype} {array.shape}"
        )
    if not (np.isfinite(array) & (array >= 0)).all():
        row = int(np.argmin(np.isfinite(array) & (array >= 0)))
        raise ValueError(
            f"sample_weight of row {row} is {array[row]}; weights are finite and at least 0"
        )
    return array.astype(dtype, copy=False)


class ClassWeights:
    """A weight per class; classes that are not named, and ignored rows, have weight 1."""

    def __init__(self, weights: Any, dtype: np.dtype[Any]) -> None:
        if not isinstance(weights, Mapping):
            raise TypeError(
                "class_weight must be a dict of class to weight or 'balanced', got "
                f"{type(weights).__name__}; for a list give dict(enumerate(weights))"
            )
        for label, weight in weights.items():
            is_label = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
            if not is_label or not 0 <= label <= LAST_LABEL:
                raise ValueError(
                    f"class_weight: {label!r:.80} is not a class; classes are integers from 0"
                )
            is_number = isinstance(weight, (int, float, np.integer, np.floating))
            if not is_number or isinstance(weight, bool) or not 0 <= weight < np.inf:
                raise ValueError(
                    f"class_weight of class {label} is {weight!r:.80}; "
                    "weights are finite numbers of at least 0"
                )
        labels = sorted(weights)
        # a sentinel at the end, for labels beyond the last: -1 is not a class
        self.labels = np.array([*labels, -1], np.int64)
        self.weights = np.array([*(weights[label] for label in labels), 1], dtype)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with its weights multiplied by those of the classes."""
        y = one_label_per_row(batch.y).astype(np.int64)
        at = np.searchsorted(self.labels[:-1], y)
        weight = np.where(self.labels[at] == y, self.weights[at], self.weights[-1])
        return batch._replace(weight=weight if batch.weight is None else weight * batch.weight)


def one_label_per_row(y: NDArray[Any]) -> NDArray[Any]:
    """Return labels (N,) or (N, 1) as (N,); raise ValueError for other targets."""
    if y.dtype.kind not in "iub" or y.size != len(y) or y.ndim > 2:
        raise ValueError(
            "class_weight needs targets that are one integer class per row, "
            f"got {y.dtype} {y.shape}"
        )
    return y.reshape(-1).astype(np.int64 if y.dtype == bool else y.dtype, copy=False)


def balanced(y: NDArray[Any]) -> dict[int, float]:
    """Return class weights n / (k count), which give each of the k classes in y the same total."""
    labels, counts = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), (len(y) / (len(labels) * counts)).tolist(), strict=True))


def weights_of_classes(
    weights: Any, y: NDArray[Any] | None, dtype: np.dtype[Any], ignore_index: int
) -> ClassWeights | None:
    """Return the weights for `class_weight`; "balanced" does not count ignored rows."""
    if weights is None:
        return None
    if isinstance(weights, str):
        if weights != "balanced" or y is None:
            raise ValueError(
                f"class_weight must be a dict, or 'balanced' with y, got {value_of(weights)}"
            )
        labels = one_label_per_row(y)
        weights = balanced(labels[(labels >= 0) & (labels != ignore_index)])
    return ClassWeights(weights, dtype)
