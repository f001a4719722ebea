"""A network as a list of operations: what the `lower` of a layer writes to.

A builder has a current value, rows of some width, which most methods replace by what the operation
makes of it. A value is a number and is made once; `build` says which of them share memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# Numbers of the first buffers; see ops.pxd.
INPUT, OUTPUT = 0, 1

# Operations that know of other rows than their own.
_SEQUENCES = frozenset(("embed", "positions", "attention", "cross", "last"))

# Operations that may write where they read.
_IN_PLACE = frozenset(("activation", "softmax", "log_softmax", "norm", "prelu", "add", "positions"))


class NotLowerable(TypeError):
    """A layer does not say what operations it is made of: it has to run by itself.

    Examples
    --------
    >>> class Mine(nn.Module):
    ...     forward = backward = None  # and no `lower`
    >>> try:
    ...     Mine({}).freeze()
    ... except fastnn.kernels.NotLowerable:
    ...     print("it runs by itself")
    it runs by itself
    """


@dataclass(slots=True)
class Operation:
    """One operation; the fields are those of ops.pxd. x, y, residual and h are values."""

    kind: str
    x: int
    y: int
    n_in: int | None = None
    n_out: int | None = None
    residual: int | None = None
    h: int | None = None
    weight: Any = None
    bias: Any = None
    activation: str | None = None
    flag: bool = False
    factor: float = 1.0
    heads: int = 0
    kv_heads: int = 0
    rotary: bool = False

    @property
    def reads(self) -> list[int]:
        """The values that go in."""
        return [self.x] if self.residual is None else [self.x, self.residual]

    @property
    def writes(self) -> list[int]:
        """The values that come out."""
        return [self.y] if self.h is None else [self.y, self.h]


class Builder:
    """Collects the operations of a network; `Module.lower` is given one.

    Weights are arrays, or hold them as ``data`` and ``grad``, as `nn.Parameter` does.

    Parameters
    ----------
    max_len : int
        Positions of a sequence at most.
    by_rows : bool
        Refuse operations for which rows are positions of sequences: `Program` takes none.

    Attributes
    ----------
    value : int
        The current value; keep it and set it to come back to it.
    operations : list of Operation
    max_len : int
    drops : bool
        True if some layer drops elements in training.

    Examples
    --------
    >>> b = fastnn.kernels.Builder()
    >>> nn.Linear(3, 2, activation="relu").lower(b)
    >>> [operation.kind for operation in b.operations]
    ['dense']
    """

    def __init__(self, max_len: int = 1024, *, by_rows: bool = False) -> None:
        self.by_rows = by_rows
        self.value = 0
        self.operations: list[Operation] = []
        self.max_len = max_len
        self.drops = False
        self._widths: list[int | None] = [None]  # None: that of the input
        self._n_in: int | None = None
        self._last = 0  # values before this one have other rows

    def width(self, value: int | None = None) -> int | None:
        """Columns of a value, by default the current one; None if that is not known yet."""
        found = self._widths[self.value if value is None else value]
        return self._n_in if found is None else found

    def dense(self, weight: Any, bias: Any = None, activation: str | None = None) -> None:
        """act(x weight + bias), weight (in, out), bias (out,) or None."""
        shape = self._matrix(weight, "dense")
        self._need(shape[0], f"dense: weight {shape} takes {shape[0]} columns, not {{}}")
        self._check(bias, (shape[1],), "dense: bias")
        how = {"weight": weight, "bias": bias, "activation": activation}
        self._add("dense", shape[1], **how)

    def activation(self, name: str) -> None:
        """act(x), by the name of `nn.Linear`."""
        self._add("activation", activation=name)

    def softmax(self, log: bool = False) -> None:
        """Softmax of each row, or its logarithm."""
        self._add("log_softmax" if log else "softmax")

    def prelu(self, slopes: Any) -> None:
        """x where x > 0, else slope x: slopes (columns,), (1,) or a float."""
        shape: tuple[int, ...] = np.shape(array_of(slopes))
        shared = shape in ((), (1,))
        if not shared:
            self._need(shape[0], f"prelu: {shape[0]} slopes for {{}} columns")
        self._add("prelu", weight=slopes, flag=shared)

    def norm(
        self,
        kind: str,
        weight: Any,
        bias: Any,
        eps: float,
        *,
        dim: int | None = None,
        residual: int | None = None,
    ) -> int:
        """The norm of x + residual, kind "layer" or "rms"; returns that sum as a value.

        Without a residual it is the norm of x, and x is returned.
        """
        if not eps > 0:
            raise ValueError(f"norm: eps must be above 0, got {eps}")
        if dim is not None:
            self._need(dim, f"norm: {dim} columns are wanted, not {{}}")
        for name, array in (("weight", weight), ("bias", bias)):
            self._check(array, (self.width(),), f"norm: {name}")
        how = {"weight": weight, "bias": bias, "flag": kind == "rms", "factor": eps}
        if residual is None:
            total = self.value
        else:
            self._same(residual, "norm")
            total = self._new(self.width())
            how |= {"residual": residual, "h": total}
        self._add("norm", **how)
        return total

    def add(self, residual: int) -> None:
        """x + residual, another value."""
        self._same(residual, "add")
        self._add("add", residual=residual)

    def drop(self) -> None:
        """Nothing at inference; a program with it is not one for training."""
        self.drops = True

    def embed(self, table: Any, factor: float = 1.0) -> None:
        """factor table[ids]: what comes in are ids, and this is the first operation."""
        if self.operations or self.value:
            raise NotLowerable("an embedding that is not the first layer has no place in a program")
        self._n_in = self._matrix(table, "embed")[1]
        self._add("embed", self._n_in, weight=table, factor=factor)

    def positions(self, table: Any) -> None:
        """x + table[position]; there are as many positions as the table (n, columns) has rows."""
        rows, width = self._matrix(table, "positions")
        self._need(width, f"positions: {width} columns for {{}}")
        self.max_len = min(self.max_len, rows)
        self._add("positions", weight=table)

    def attention(
        self, heads: int, kv_heads: int, *, causal: bool = False, rotary: bool = False
    ) -> None:
        """The results of all heads from the columns q | k | v of each position."""
        how = {"heads": heads, "kv_heads": kv_heads, "flag": causal, "rotary": rotary}
        width = self.width()
        _check_heads("attention", heads, kv_heads)
        if width is None or width % (heads + 2 * kv_heads):
            raise ValueError(f"attention: {heads} and twice {kv_heads} heads of {width} columns")
        self._add("attention", width // (heads + 2 * kv_heads) * heads, **how)

    def cross_attention(self, weight: Any, bias: Any, heads: int, kv_heads: int) -> None:
        """The results of all heads for the queries x: memory weight + bias are keys and values."""
        how = {"weight": weight, "bias": bias, "heads": heads, "kv_heads": kv_heads}
        width = self.width()
        _check_heads("cross_attention", heads, kv_heads)
        if width is None or width % heads:
            raise ValueError(f"cross_attention: {heads} heads of {width} columns")
        wanted = 2 * width // heads * kv_heads
        if self._matrix(weight, "cross_attention")[1] != wanted:
            raise ValueError(f"cross_attention: keys and values need {wanted} columns")
        self._check(bias, (wanted,), "cross_attention: bias")
        self._add("cross", width, **how)

    def last(self) -> None:
        """Each sequence's last position: a row for each sequence from here on."""
        self._add("last")
        self._last = self.value

    def build(self, fuse: bool) -> tuple[list[Operation], dict[int, int], list[int]]:
        """The operations, the buffer of each value, and the columns of each buffer.

        With `fuse` an activation after a `dense` without one becomes its own.
        """
        final = self.value
        if final == INPUT:
            self._add("copy")
            final = self.value
        if self._n_in is None:
            raise ValueError("no layer says how many columns come in")
        operations = list(_fused(self.operations, final) if fuse else self.operations)
        read = {value for op in operations for value in op.reads}
        for op in operations:
            op.n_in, op.n_out = self.width(op.x), self.width(op.y)
            op.h = op.h if op.h in read or op.h == final else None
        widths = [self._n_in if width is None else width for width in self._widths]
        return operations, *_placed(operations, widths, final)

    def _new(self, width: int | None) -> int:
        self._widths.append(width)
        return len(self._widths) - 1

    def _add(self, kind: str, width: int | None = None, **how: Any) -> None:
        """One more operation on the current value, which what it gives replaces."""
        if self.by_rows and kind in _SEQUENCES:
            raise NotLowerable(f"{kind}: a program by rows knows no sequences")
        x = self.value
        if min(x, how.get("residual", x)) < self._last:
            raise ValueError(f"{kind}: a value from before `last` has other rows")
        self.value = self._new(self._widths[x] if width is None else width)
        self.operations.append(Operation(kind, x, self.value, **how))

    def _need(self, width: int, message: str) -> None:
        """Take the current value to have so many columns."""
        found = self.width()
        if found is None:
            self._n_in = width
        elif found != width:
            raise ValueError(message.format(found))

    def _matrix(self, weight: Any, name: str) -> tuple[int, int]:
        shape: tuple[int, ...] = np.shape(array_of(weight))
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"{name}: weight must be (in, out) and not empty, got {shape}")
        return shape[0], shape[1]

    def _same(self, residual: int, name: str) -> None:
        if self.width(residual) != self.width():
            raise ValueError(
                f"{name}: {self.width()} columns cannot be added to {self.width(residual)}"
            )

    def _check(self, weight: Any, shape: tuple[int | None, ...], name: str) -> None:
        found = None if weight is None else np.shape(array_of(weight))
        if found is None:
            return
        if shape == (None,):
            self._n_in, shape = found[0], found
        if found != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {found}")


def _check_heads(name: str, heads: int, kv_heads: int) -> None:
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise ValueError(f"{name}: {heads} heads cannot share {kv_heads} heads of keys")


def array_of(weight: Any) -> Any:
    """The array of a weight, which may be a parameter."""
    return weight if isinstance(weight, np.ndarray) else getattr(weight, "data", weight)


def _fused(operations: list[Operation], final: int) -> Iterator[Operation]:
    uses = Counter(value for op in operations for value in op.reads)
    before: Operation | None = None
    for op in operations:
        bare = before is not None and before.kind == "dense" and before.activation is None
        alone = before is not None and before.y == op.x != final and uses[op.x] == 1
        if before is not None and bare and alone and op.kind == "activation":
            before.activation, before.y = op.activation, op.y
            continue
        yield op
        before = op


def _placed(
    operations: list[Operation], widths: list[int], final: int
) -> tuple[dict[int, int], list[int]]:
    """A buffer for every value, such that none is written while it is still read."""
    until = {value: i for i, op in enumerate(operations) for value in op.reads}
    buffers, sizes = {INPUT: INPUT}, [0, 0]
    free: list[int] = []

    def take(value: int) -> None:
        fitting = [b for b in free if sizes[b] >= widths[value]]
        if free:
            buffer = (
                min(fitting, key=sizes.__getitem__) if fitting else max(free, key=sizes.__getitem__)
            )
            free.remove(buffer)
        else:
            buffer = len(sizes)
            sizes.append(0)
        sizes[buffer] = max(sizes[buffer], widths[value])
        buffers[value] = buffer

    for op in operations:
        if op.kind == "last" and op.y != final:
            take(op.y)  # it is filled over several passes: never shared with what is before
    for i, op in enumerate(operations):
        dying = [v for v in dict.fromkeys(op.reads) if until[v] == i and buffers[v] > OUTPUT]
        for value in op.writes:
            if value == final:
                buffers[value] = OUTPUT
            elif value in buffers:
                continue
            elif dying and op.kind in _IN_PLACE:
                buffers[value] = buffers[dying.pop(0)]
            else:
                take(value)
        unused = [v for v in op.writes if v not in until and v != final]
        free += [buffers[v] for v in dying + unused]
    return buffers, sizes
