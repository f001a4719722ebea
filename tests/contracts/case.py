"""A case: a call, what the oracle says of it, and every other way to make it."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

import fastnn
from tests.oracle.real import difference

from .draw import THREADS


@dataclass
class Case:
    """A call with keywords.

    `expected(arrays)` returns the oracle's results: those of the call in order, then those of the
    arrays in `written`, which the call updates. `outs` maps a parameter that receives a result to
    its index; `aliases` are pairs (such a parameter, the input it may be). `pointers` are
    functions of the arrays that make the same call through `fastnn.capi`.
    """

    call: object
    arrays: dict
    expected: object
    options: dict = field(default_factory=dict)
    written: tuple = ()
    outs: dict = field(default_factory=dict)
    aliases: tuple = ()
    pointers: tuple = ()
    layouts: str = "any"  # of outputs: "padded" have contiguous rows, "solid" ones are contiguous


class Different(AssertionError):
    """A result that the oracle does not allow."""


def results(value):
    """What a call returned, as a flat list of arrays."""
    if value is None:
        return []
    if isinstance(value, (tuple, list)):
        return [one for part in value for one in results(part)]
    return [np.asarray(value)]


def run(case, arrays, **more):
    """Results of one call, and of the arrays that it updates."""
    with np.errstate(all="ignore"):
        found = results(case.call(**arrays, **case.options, **more))
    return [*found, *(arrays[name] for name in case.written)]


def fresh(case):
    """The arrays, with copies of those that the call updates."""
    return {k: v.copy() if k in case.written else v for k, v in case.arrays.items()}


def compare(found, expected, how, counts):
    if len(found) != len(expected):
        raise Different(f"{how}: {len(found)} results instead of {len(expected)}")
    for i, (one, right) in enumerate(zip(found, expected, strict=True)):
        if right is None:
            continue
        what = difference(one, right)
        counts["comparisons"] += 1
        counts["elements"] += right.value.size
        counts["unchecked elements"] += int(
            np.isinf(np.broadcast_to(right.error, right.shape)).sum()
        )
        if what:
            raise Different(f"{how}, result {i}: {what}")


def check(case, d):
    """Make the call in every way; raise Different if a result is not what the oracle says."""
    counts = Counter()
    with np.errstate(all="ignore"):
        expected = case.expected(case.arrays)
    expected = expected if isinstance(expected, (tuple, list)) else (expected,)
    before = {k: v.tobytes() for k, v in case.arrays.items() if k not in case.written}
    with fastnn.num_threads(1):
        first = run(case, fresh(case))
    counts["calls"] += 1
    compare(first, expected, "as drawn", counts)
    for name, bits in before.items():
        if case.arrays[name].tobytes() != bits:
            raise Different(f"the call has changed {name}")
    n = d.one(THREADS[1:])
    with fastnn.num_threads(n):
        again = run(case, fresh(case))
    counts["calls"] += 1
    for i, (one, same) in enumerate(zip(again, first, strict=True)):
        if one.tobytes() != same.tobytes():
            raise Different(f"{n} threads: other bits in result {i}")
    if case.outs:
        with_outputs(case, d, first, expected, counts)
    for out, name in case.aliases:
        arrays = fresh(case)
        arrays[name] = arrays[name].copy(order="K")
        found = run(case, arrays, **{out: arrays[name]})
        counts["calls"] += 1
        compare(found, expected, f"{out} is {name}", counts)
    for pointer in case.pointers:
        arrays = {k: np.array(v, order="C") for k, v in case.arrays.items()}
        counts["pointer calls"] += 1
        compare(results(pointer(arrays)), expected, "by pointer", counts)
    return counts


def with_outputs(case, d, first, expected, counts):
    """Outputs in arrays of the caller's, full of NaN before."""
    place = {"any": d.laid_out, "padded": d.padded, "solid": np.ascontiguousarray}[case.layouts]
    outputs = {
        name: place(np.full(first[i].shape, np.nan, first[i].dtype))
        for name, i in case.outs.items()
    }
    arrays = fresh(case)
    with fastnn.num_threads(d.one(THREADS)):
        found = run(case, arrays, **outputs)
    counts["calls"] += 1
    for name, i in case.outs.items():
        if i < len(found) and not np.shares_memory(found[i], outputs[name]) and found[i].size:
            raise Different(f"{name} is not what the call returned")
    compare(found, expected, f"{', '.join(outputs)} given", counts)
