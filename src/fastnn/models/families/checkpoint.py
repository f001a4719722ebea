"""What a family reads: a config that checks its values, and where each array of a file belongs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...checks import check_count, check_dtype, check_flag, check_number, value_of

# Names of activations in configs -> ours.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Part(NamedTuple):
    """Where an array of a checkpoint goes: columns of a parameter, or elements of a vector.

    Attributes
    ----------
    ours : str
        Name of the parameter.
    start, stop : int or None
        The columns (last axis) of the parameter that the array fills; all by default.
    transpose : bool
        True if the matrix of the file is (out, in); tables of embeddings are not transposed.
    order : ndarray of int or None
        Row i of ours, after transposing column i, is row order[i] of the file's matrix.
    """

    ours: str
    start: int | None = None
    stop: int | None = None
    transpose: bool = True
    order: NDArray[np.intp] | None = None


Names = dict[str, Part]  # name in the file -> where it goes


def both(theirs: str, ours: str, **how: Any) -> Names:
    """Return the names of a layer's weight and bias; `theirs` and `ours` end in "."."""
    return {theirs + end: Part(ours + end, **how) for end in ("weight", "bias")}


class Config(dict[str, Any]):
    """The values of a config.json; each method checks what it returns and names key and value.

    A key that is missing or null has its default; without a default it is an error.

    Attributes
    ----------
    dtype : dtype
        Of the model that is to be built.
    """

    def __init__(self, values: Mapping[str, Any], dtype: DTypeLike = np.float32) -> None:
        super().__init__(values)
        self.dtype = check_dtype(dtype)

    def value(self, key: str, default: Any = None) -> Any:
        """Return a value of any type."""
        found = self.get(key)
        found = default if found is None else found
        if found is None:
            raise ValueError(f"{key} is missing")
        return found

    def count(self, key: str, default: int | None = None, low: int = 1, high: int = 2**31) -> int:
        """Return an integer from `low` to `high`."""
        return check_count(key, self.value(key, default), low, high)

    def number(self, key: str, default: float | None = None, **limits: float) -> float:
        """Return a finite number; the limits are those of `check_number`."""
        return check_number(key, self.value(key, default), **limits)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return True or False."""
        return check_flag(key, self.value(key, default))

    def activation(self, key: str, default: str | None = None) -> str:
        """Return our name of an activation."""
        found = self.value(key, default)
        if not isinstance(found, str) or found not in ACTIVATIONS:
            raise unsupported(key, found, ACTIVATIONS)
        return ACTIVATIONS[found]

    def check_switches(self, switches: Mapping[str, tuple[Any, ...]]) -> None:
        """Raise a ValueError for a value that is not supported; a missing key is."""
        for key, values in switches.items():
            found = self.get(key, values[0])
            if not any(type(found) is type(value) and found == value for value in values):
                raise unsupported(key, found, values)


def unsupported(key: str, value: Any, supported: Iterable[Any]) -> ValueError:
    """Return the error for a value of a switch that no layer computes."""
    known = " or ".join(map(repr, supported))
    return ValueError(f"{key} is {value_of(value)}, which is not supported: only {known} is")
