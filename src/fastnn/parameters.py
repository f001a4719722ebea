"""Parameters: all values of a model in one flat array, all gradients in another.

An optimizer step is then one kernel call, global clipping needs one Frobenius norm, and a
checkpoint is one write. A layer has `Parameter` objects, whose arrays are views into the flat ones.
Putting layers into a larger model moves their parameters into that model's arrays; the `Parameter`
objects stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from sys import getrefcount
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import DTYPES, GENERATOR, check_dtype, check_flag
from .flat import Block, padded
from .watch import changed

# Bytes from which on zero_grad() leaves a gradient to backward to overwrite (docs/tuning.md).
OVERWRITTEN_FROM = 1 << 16
# What `getrefcount` returns of an attribute that nobody else holds: its owner, and the argument.
_REFERENCES = 2


class Parameter:
    """A learned array and its gradient.

    Parameters
    ----------
    value : ndarray of float32 or float64
        Copied.

    Attributes
    ----------
    name : str
        The name in the model that owns the memory, such as "0.weight"; "" without a model.
    data, grad : ndarray
        Views of equal shape into the flat arrays. They stay views: `p.data = value` copies the
        value, and raises an error if its shape or dtype differs.
    requires_grad : bool
        False freezes the parameter: backward does not compute its gradient, which stays zero and
        takes no memory, and optimizers leave it alone. `Module.set_requires_grad` sets many.

    Examples
    --------
    >>> weight = nn.Parameter(np.ones((2, 3), np.float32))
    >>> weight.data.shape, weight.grad.sum().item()
    ((2, 3), 0.0)
    >>> weight.requires_grad = False
    """

    __slots__ = ("_block", "_grad", "_start", "data", "name")

    data: NDArray[Any]
    _grad: NDArray[Any]

    def __init__(self, value: NDArray[Any]) -> None:
        value = np.asarray(value)
        dtype = check_dtype(value.dtype)
        self.name = ""
        blank = GENERATOR.get() is not None and value.size > 1 and not any(value.strides)
        self._settle(Block(padded(value.size, dtype), dtype, blank), 0, value.shape)
        if not blank:
            self.data[...] = value

    def _settle(self, block: Block, start: int, shape: tuple[int, ...]) -> None:
        """Make data and grad views into `block`, without changing its values."""
        stop = start + int(np.prod(shape, dtype=np.int64))
        object.__setattr__(self, "data", block.data[start:stop].reshape(shape))
        self._grad = block.grad[start:stop].reshape(shape)
        self._block, self._start = block, start

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "data":
            object.__setattr__(self, name, value)
            return
        if value is not self.data:  # equal after `p.data -= ...`
            self.data[...] = self._fitting(name, value)
        self._block.version += 1

    @property
    def grad(self) -> NDArray[Any]:
        if self._block.cleared:
            self._block.fill(self._start)
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not self.grad:
            self._grad[...] = self._fitting("grad", value)

    @property
    def requires_grad(self) -> bool:
        return self._start not in self._block.frozen

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if check_flag("requires_grad", value):
            self._block.frozen.discard(self._start)
        elif self.data.size:
            if self.grad.any():  # zeros take no memory until written
                self._grad.fill(0)
            self._block.frozen.add(self._start)
        changed()

    def to_add(self) -> NDArray[Any] | None:
        """Return the gradient for backward to add to; None if the parameter is frozen."""
        block = self._block
        return None if block.frozen and self._start in block.frozen else self.grad

    @property
    def is_large(self) -> bool:
        """True if `zero_grad` may leave the gradient to backward to overwrite."""
        return self._grad.nbytes >= OVERWRITTEN_FROM

    def to_store(self) -> tuple[NDArray[Any] | None, bool]:
        """Return the gradient, None if frozen, and whether backward must store it: `stored`."""
        block = self._block
        if block.frozen and self._start in block.frozen:
            return None, False
        return self._grad, self._start in block.cleared

    def stored(self) -> None:
        """Note that a gradient was stored."""
        self._block.cleared.pop(self._start, None)

    @property
    def memory(self) -> Block:
        """What keeps the memory of `data` and `grad` alive."""
        return self._block

    def _fitting(self, name: str, value: Any) -> NDArray[Any]:
        """Return `value` as an array of the parameter's shape and dtype; errors have its name."""
        what = f"{name} of {repr(self.name) if self.name else 'this parameter'}"
        if value is None:
            raise TypeError(f"{what} cannot be None; zero_grad() sets gradients to zero")
        dtype = self.data.dtype
        array = np.asarray(value) if hasattr(value, "dtype") else np.asarray(value, dtype)
        if array.shape != self.data.shape:
            raise ValueError(f"{what} has shape {self.data.shape}, not {array.shape}")
        if array.dtype != dtype:
            raise TypeError(f"{what} is {dtype}, not {array.dtype}: give value.astype({dtype})")
        return array

    def _move(self, block: Block, start: int) -> None:
        """Move values and gradient to `start` of `block`."""
        data, grad, old = self.data, self.grad, self._block
        if not self.requires_grad:
            block.frozen.add(start)
        self._settle(block, start, data.shape)
        if not old.blank:
            self.data[...] = data
            if grad.reshape(-1).view(np.uint8).any():  # zeros take no memory until written
                self.grad[...] = grad
        old.moved = True
        changed()

    @property
    def _stop(self) -> int:
        """Where the next parameter of the block starts."""
        return self._start + padded(self.data.size, self.data.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copied parameter must be a view into the copied block: copies of single views would be
        # detached from the flat arrays that the optimizer updates.
        return _restore_parameter, (self.name, self._block, self._start, self.data.shape)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.data.shape}, dtype={self.data.dtype})"


def _restore_parameter(name: str, block: Block, start: int, shape: tuple[int, ...]) -> Parameter:
    parameter = Parameter.__new__(Parameter)
    parameter.name = name
    parameter._settle(block, start, shape)
    return parameter


class Parameters:
    """The parameters of a model, in order and by name, over two flat arrays.

    The constructor moves every parameter into new flat arrays (values and gradients are copied) and
    sets its name. A parameter that occurs under two names is stored once, under the first name.

    Parameters
    ----------
    named : mapping of str to Parameter

    Raises
    ------
    TypeError
        The parameters do not have one dtype; nothing is moved.

    Notes
    -----
    Every parameter starts at a 64-byte boundary. The gaps hold zeros in both arrays and stay zero
    under every optimizer, so norms and updates over the flat arrays can ignore them.

    Examples
    --------
    >>> params = nn.MLP((3, 4, 2), rng=0).parameters()
    >>> params.data.shape  # one flat array; each parameter is a view of it
    (64,)
    >>> [name for name, _ in params.named()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    __slots__ = ("_block", "_named", "_start", "_stop")

    def __init__(self, named: Mapping[str, Parameter]) -> None:
        self._named = _unique(named)
        dtype = _common_dtype(self._named)
        starts, size = [], 0
        for parameter in self._named.values():
            starts.append(size)
            size += padded(parameter.data.size, dtype)
        self._block, self._start, self._stop = Block(size, dtype), 0, size
        for (name, parameter), start in zip(self._named.items(), starts, strict=True):
            parameter._move(self._block, start)
            parameter.name = name

    @classmethod
    def _where_they_are(cls, named: Mapping[str, Parameter]) -> Parameters:
        """Return the parameters of a part of a model, as a slice of the model's flat arrays.

        Raises RuntimeError if they are not contiguous.
        """
        self = cls.__new__(cls)
        self._named = _unique(named)
        parameters = list(self._named.values())
        for before, after in pairwise(parameters):
            if before._block is not after._block or before._stop != after._start:
                raise RuntimeError(
                    f"the parameters {before.name!r} and {after.name!r} do not lie side by side, "
                    "because models share one of them; use parameters() of the whole model"
                )
        self._block = parameters[0]._block
        self._start, self._stop = parameters[0]._start, parameters[-1]._stop
        return self

    @property
    def moved(self) -> bool:
        """True if some were moved into another model; `data` and `grad` then raise."""
        return self._block.moved

    def _current_block(self) -> Block:
        if self._block.moved:
            raise RuntimeError(
                "these parameters were moved into another model after this collection was made; "
                "call parameters() again, and create optimizers once the model is complete"
            )
        return self._block

    @property
    def data(self) -> NDArray[Any]:
        """All values, flat (at least `size` long, see Notes). RuntimeError if they were moved."""
        return self._current_block().values()[self._start : self._stop]

    @property
    def grad(self) -> NDArray[Any]:
        """All gradients, with the layout of `data`. RuntimeError if they were moved."""
        block = self._current_block()
        if block.cleared:
            block.fill_all()
        return block.grad[self._start : self._stop]

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._block.data.dtype

    @property
    def size(self) -> int:
        """Number of learned values, without the gaps between parameters."""
        return sum(parameter.data.size for parameter in self)

    def trained(self) -> list[slice] | None:
        """Return the ranges of `data` that are not frozen, in order; None for all of it."""
        frozen = self._current_block().frozen
        if not frozen:
            return None
        found: list[slice] = []
        for parameter in self:
            if parameter._start in frozen:
                continue
            start, stop = parameter._start - self._start, parameter._stop - self._start
            if found and found[-1].stop == start:
                start = found.pop().start
            found.append(slice(start, stop))
        return found

    def zero_grad(self) -> None:
        """Set every gradient to zero.

        Large ones that nobody else holds are not written, since backward overwrites them.
        """
        block, at = self._current_block(), self._start
        alone = len(self._named) + _REFERENCES  # if only these parameters have views
        is_large = block.grad.nbytes >= OVERWRITTEN_FROM
        may_leave = is_large and getrefcount(block.grad.base) <= alone
        if may_leave or block.frozen:
            for parameter in self._named.values():
                is_frozen = parameter._start in block.frozen  # and zero
                leave = may_leave and parameter.is_large
                leave = leave and getrefcount(parameter._grad) <= _REFERENCES
                if leave or is_frozen:
                    block.grad[at : parameter._start].fill(0)
                    at = parameter._start + parameter._grad.size
                if leave and not is_frozen:
                    block.cleared[parameter._start] = at
        block.grad[at : self._stop].fill(0)

    def named(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over pairs (name, parameter), in order."""
        return iter(self._named.items())

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._named.values())

    def __len__(self) -> int:
        return len(self._named)

    def __repr__(self) -> str:
        return f"Parameters({len(self)} arrays, {self.size:,} numbers, dtype={self.dtype})"


def _unique(named: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return each parameter once, under its first name."""
    first: dict[int, tuple[str, Parameter]] = {}
    for name, parameter in named.items():
        first.setdefault(id(parameter), (name, parameter))
    return dict(first.values())


def _common_dtype(named: Mapping[str, Parameter]) -> np.dtype[Any]:
    """Return the common dtype of all parameters; float32 if there are none."""
    dtype = None
    for name, parameter in named.items():
        if dtype is None:
            first, dtype = name, parameter.data.dtype
        elif parameter.data.dtype != dtype:
            raise TypeError(
                "all parameters of a model must have one dtype: "
                f"{first!r} is {dtype}, {name!r} is {parameter.data.dtype}"
            )
    return dtype or DTYPES[0]
