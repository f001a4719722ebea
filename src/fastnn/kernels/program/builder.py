"""A network as a list of operations: what the `lower` of a layer writes to.

A builder has a current value, rows of some width, which most methods replace by what the operation
makes of it. A value is a number and is made once; `build` says which of them share memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...checks import check_choice
from .operations import INPUT, Operation, fused, placed

# Operations that know of other rows than their own.
_SEQUENCES = frozenset(("embed", "positions", "attention", "cross", "last"))


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


class Builder:
    """Collects the operations of a network; `Module.lower` is given one.

    Weights are arrays, or hold them as ``data`` and ``grad``, as `nn.Parameter` does.

    Parameters
    ----------
    max_len : int
        Positions of a sequence at most.
    by_rows : bool
        Refuse operations for which rows are positions of sequences: `Program` takes none.
    weights : str, optional
        The format in which a frozen plan stores the weights of products: see `pack`.

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

    def __init__(self, max_len: int = 1024, *, by_rows: bool = False, weights: Any = None) -> None:
        self.by_rows = by_rows
        self.weights = check_choice("weights", weights, (None, "bf16", "int8", "int8_g32"))
        self.value = 0
        self.operations: list[Operation] = []
        self.max_len = max_len
        self.drops = False
        # of attention, added to scores by distance: (heads, 2 max_len - 1), see `kernels.attention`
        self.distance_bias: Any = None
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

    def gate(self, activation: str | None) -> None:
        """act(a) b of rows a | b."""
        width = self.width()
        if width is None or width % 2:
            raise ValueError(f"gate: {width} columns are not two halves")
        self._add("gate", width // 2, activation=activation)

    def norm_heads(
        self, heads: int, kv_heads: int, q_weight: Any, k_weight: Any, eps: float
    ) -> None:
        """q | k | v with the RMS norms of q and k: of each head, or of all heads together.

        The weights have the columns of a head, or of all heads.
        """
        size, one = self._head_size("norm_heads", heads, kv_heads), np.size(array_of(q_weight))
        whole = one != size
        self._check(q_weight, (heads * size if whole else size,), "norm_heads: q_weight")
        self._check(k_weight, (kv_heads * size if whole else size,), "norm_heads: k_weight")
        how = {"weight": q_weight, "bias": k_weight, "factor": eps, "flag": whole, "size": size}
        self._add("norm_heads", heads=heads, kv_heads=kv_heads, **how)

    def attention(
        self,
        heads: int,
        kv_heads: int,
        *,
        causal: bool = False,
        rotary: bool = False,
        rates: Any = None,
        factor: float = 1.0,
        window: int | None = None,
    ) -> None:
        """The results of all heads from the columns q | k | v of each position.

        With `rotary` q and k are rotated, as by `kernels.rotary` with these rates and this factor.
        """
        how: dict[str, Any] = {"heads": heads, "kv_heads": kv_heads, "flag": causal}
        how |= {"rotary": rotary, "rates": rates, "factor": factor, "window": window or 0}
        how["bias"] = self.distance_bias
        self._check(how["bias"], (heads, 2 * self.max_len - 1), "attention: bias")
        self._add("attention", self._head_size("attention", heads, kv_heads) * heads, **how)

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
        operations = list(fused(self.operations, final) if fuse else self.operations)
        read = {value for op in operations for value in op.reads}
        for op in operations:
            op.n_in, op.n_out = self.width(op.x), self.width(op.y)
            op.h = op.h if op.h in read or op.h == final else None
        widths = [self._n_in if width is None else width for width in self._widths]
        return operations, *placed(operations, widths, final)

    def _head_size(self, name: str, heads: int, kv_heads: int) -> int:
        """Columns of a head of the current value, q | k | v."""
        width = self.width()
        _check_heads(name, heads, kv_heads)
        if width is None or width % (heads + 2 * kv_heads):
            raise ValueError(f"{name}: {heads} and twice {kv_heads} heads of {width} columns")
        return width // (heads + 2 * kv_heads)

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
