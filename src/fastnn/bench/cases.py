"""The cases that the families define: selection, inputs and checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from .families import FAMILIES
from .operations import Arrays, Operation, Shape, count

OPERATIONS: dict[str, Operation] = {}
for _family in FAMILIES.values():
    OPERATIONS |= _family.OPERATIONS
TIERS = ("quick", "default", "full")
SHORT = {"float32": "f32", "float64": "f64"}
# A lossy library may be off by this fraction of the largest magnitude: bfloat16 has 8 bits.
LOSSY_TOLERANCE = 0.05


class BenchError(Exception):
    """What a user can mend: a pattern without a case, a wrong file, a process that failed."""


@dataclass(frozen=True)
class Case:
    """One operation at one shape in one type."""

    family: str  # a module in `families`
    kernel: str  # a key of its OPERATIONS
    shape: Shape  # as the family defines it: (m, k, n) of products, (rows, columns) of row kernels
    dtype: str = "float32"
    # of a product's operands: "n", or "t" for a transposed view, as in backward passes
    layout: str = "nn"

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.kernel]

    @property
    def name(self) -> str:
        """Return "matmul-f32-64x64x64-nt", the group of pytest-benchmark."""
        name = f"{self.kernel}-{SHORT[self.dtype]}-{'x'.join(map(str, self.shape))}"
        return name if self.layout == "nn" else f"{name}-{self.layout}"

    @property
    def limit(self) -> str | None:
        """Return the machine limit to compare with; for one row it is reading the weights.

        A product of one row does two operations with each weight it reads, so the bandwidth at the
        weight's size bounds it long before the FMA peak does.
        """
        limit = self.operation.limit
        one_row = self.shape[0] == 1 and self.family in ("gemm", "networks")
        return "read" if limit == "fma" and one_row else limit

    @property
    def flops(self) -> int:
        """Return the floating-point operations of one call."""
        return count(self.operation.flops, self.shape)

    @property
    def bytes(self) -> int:
        """Return the minimum number of bytes that one call reads and writes."""
        return count(self.operation.numbers, self.shape) * np.dtype(self.dtype).itemsize

    @property
    def working_set(self) -> int:
        """Return the bytes of the arrays of one call."""
        held = self.operation.numbers if self.operation.held is None else self.operation.held
        return count(held, self.shape) * np.dtype(self.dtype).itemsize

    def inputs(self, seed: int) -> Arrays:
        """Return new random arrays; the same seed gives the same arrays."""
        rng = np.random.default_rng(seed)
        arrays = self.operation.inputs(self.shape, np.dtype(self.dtype).type, rng)
        for name, order in zip(("a", "b"), self.layout, strict=True):
            if order == "t":
                arrays[name] = np.asfortranarray(arrays[name])
        return arrays

    def reference(self, seed: int) -> tuple[Any, ...]:
        """Return the results for ``inputs(seed)`` in float64."""
        return _reference(replace(self, layout="nn"), seed)

    def check(self, results: Iterable[Any], reference: Iterable[Any], lossy: bool = False) -> float:
        """Compare the results with the reference.

        Returns
        -------
        float
            The largest error, in epsilons of the type times a result's largest magnitude.

        Raises
        ------
        AssertionError
            When a shape is wrong or an error is above the operation's tolerance.
        """
        worst, eps, tolerance = 0.0, float(np.finfo(self.dtype).eps), self.operation.tolerance
        if lossy:
            tolerance = LOSSY_TOLERANCE / eps
        elif callable(tolerance):
            tolerance = tolerance(self.shape)
        for i, (result, exact) in enumerate(zip(results, reference, strict=True)):
            if result is None:  # the library does not give it
                continue
            if lossy and hasattr(result, "float"):  # NumPy has no bfloat16
                result = result.float()
            found = np.asarray(result, float)
            if found.shape != np.shape(exact):
                raise AssertionError(
                    f"{self.name}: result {i} has shape {found.shape}, not {np.shape(exact)}"
                )
            error = float(np.abs(found - exact).max() / (eps * np.abs(exact).max()))
            if not error <= tolerance:  # NaN fails too
                raise AssertionError(
                    f"{self.name}: result {i} is off by {error:.3g} epsilons of its largest "
                    f"magnitude, {tolerance:.3g} are allowed"
                )
            worst = max(worst, error)
        return worst


def case_named(name: str) -> Case:
    """Return the case of a name like "matmul-f32-64x64x64-nt"; it need not be in a table.

    Raises
    ------
    BenchError
        When it is no name of a case.
    """
    try:
        kernel, dtype, shape, *layout = name.split("-")
        family = next(f for f, module in FAMILIES.items() if kernel in module.OPERATIONS)
        dtype = next(long for long, short in SHORT.items() if short == dtype)
        return Case(family, kernel, tuple(map(int, shape.split("x"))), dtype, *layout)
    except (ValueError, TypeError, StopIteration):
        raise BenchError(f"{name!r} is no case; names are like matmul-f32-64x64x64-nt") from None


def case_of(fields: dict[str, Any]) -> Case:
    """Return the case of the fields that ``dataclasses.asdict`` gave and JSON carried."""
    return Case(**{**fields, "shape": tuple(fields["shape"])})


@lru_cache(maxsize=1)
def _reference(case: Case, seed: int) -> tuple[Any, ...]:
    """Cache for the next case, often the same product in another layout."""
    inputs = case.inputs(seed)
    return case.operation.reference(
        **{name: x.astype(float) if x.dtype.kind == "f" else x for name, x in inputs.items()}
    )


def cases_of(family: str, tier: str = "full") -> list[Case]:
    """Return the cases of a family that a run of this tier takes, each once."""
    found = []
    for of, kernel, shapes, *more in FAMILIES[family].CASES:
        if TIERS.index(of) <= TIERS.index(tier):
            dtypes, layouts = (more + [("float32",), ("nn",)][len(more) :])[:2]
            found += [
                Case(family, kernel, tuple(shape), dtype, layout)
                for shape in shapes
                for dtype in dtypes
                for layout in layouts
            ]
    return list(dict.fromkeys(found))


def select(
    tier: str = "default", families: Iterable[str] = (), patterns: Iterable[str] = ()
) -> list[Case]:
    """Select the cases of a tier whose name contains one of the patterns.

    The families take turns, so that a run which is out of time has measured something of each.

    Raises
    ------
    BenchError
        When a pattern selects nothing in any tier; the message lists the kernels.
    """
    names = list(families) or list(FAMILIES)
    by_turns = zip_longest(*(cases_of(name, tier) for name in names))
    cases = [case for case in chain.from_iterable(by_turns) if case is not None]
    if not (wanted := list(patterns)):
        return cases
    known = [case for name in names for case in cases_of(name)]
    for pattern in wanted:
        if not any(_matches(case, pattern) for case in known):
            kernels = ", ".join(dict.fromkeys(case.kernel for case in known))
            raise BenchError(f"-k: no case has {pattern!r} in its name; the kernels are {kernels}")
    # what was asked for by name is taken from a larger tier if this one lacks it
    found = [case for case in cases if any(_matches(case, pattern) for pattern in wanted)]
    return found or [case for case in known if any(_matches(case, p) for p in wanted)]


def _matches(case: Case, pattern: str) -> bool:
    return pattern in case.name or pattern == case.family
