"""The operations of a program, and the buffers of their values; ops.pxd has the same in C."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Numbers of the first buffers; see ops.pxd.
INPUT, OUTPUT = 0, 1

# Operations that may write where they read.
_IN_PLACE = frozenset("activation softmax log_softmax norm norm_heads prelu add positions".split())


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
    rates: Any = None
    window: int = 0
    size: int = 0

    @property
    def reads(self) -> list[int]:
        """The values that go in."""
        return [self.x] if self.residual is None else [self.x, self.residual]

    @property
    def writes(self) -> list[int]:
        """The values that come out."""
        return [self.y] if self.h is None else [self.y, self.h]


def fused(operations: list[Operation], final: int) -> Iterator[Operation]:
    """Make an activation after a `dense` without one its own."""
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


def placed(
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
