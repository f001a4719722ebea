"""Tables of cases, shared by ``pytest bench`` and ``python -m bench.ratios``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from .families import FAMILIES
from .libraries import LIBRARIES
from .operations import OPERATIONS as BASIC_OPERATIONS
from .operations import Arrays, Operation, Shape

OPERATIONS = dict(BASIC_OPERATIONS)
for family in FAMILIES.values():
    OPERATIONS |= family.OPERATIONS
SHORT = {"float32": "f32", "float64": "f64"}


@dataclass(frozen=True)
class Case:
    """One operation at one shape in one type.

    Attributes
    ----------
    kernel : str
        Key of ``OPERATIONS`` and of every library's ``PREPARE``.
    shape : tuple of int
        See ``operations``: (m, k, n) for products, (rows, columns) for row kernels.
    dtype : str
        "float32" or "float64".
    layout : str
        Memory layout of a product's operands: "n", or "t" for a transposed view of a C-contiguous
        array, as in backward passes; for example "nn" or "tn".
    """

    kernel: str
    shape: Shape
    dtype: str = "float32"
    layout: str = "nn"

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.kernel]

    @property
    def group(self) -> str:
        """Return the name of case and pytest-benchmark group: "matmul-f32-64x64x64-nt"."""
        name = f"{self.kernel}-{SHORT[self.dtype]}-{'x'.join(map(str, self.shape))}"
        return name if self.layout == "nn" else f"{name}-{self.layout}"

    @property
    def limit(self) -> str | None:
        """Return the machine limit to compare with; for one row it is reading the weights.

        A product of one row does two operations with each weight it reads, so the bandwidth at the
        weight's size bounds it long before the FMA peak does.
        """
        limit = self.operation.limit
        row = self.shape[0] == 1 and self.kernel in BASIC_OPERATIONS
        return "read" if limit == "fma" and row else limit

    @property
    def flops(self) -> int:
        """Return the floating-point operations of one call."""
        return self.operation.flops(self.shape)

    @property
    def bytes(self) -> int:
        """Return the minimum number of bytes that one call reads and writes."""
        return self.operation.numbers(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def working_set(self) -> int:
        """Return the bytes of the arrays of one call."""
        return self.operation.held(self.shape) * np.dtype(self.dtype).itemsize

    def inputs(self, seed: int) -> Arrays:
        """Return new random arrays; the same seed gives the same arrays."""
        rng = np.random.default_rng(seed)
        arrays = self.operation.inputs(self.shape, np.dtype(self.dtype).type, rng)
        for name, order in zip(("a", "b"), self.layout, strict=True):
            if order == "t":
                arrays[name] = np.asfortranarray(arrays[name])
        return arrays

    def reference(self, seed: int) -> tuple[np.ndarray, ...]:
        """Return the results for ``inputs(seed)`` in float64."""
        return _reference(replace(self, layout="nn"), seed)

    def check(self, results: Iterable[Any], reference: Iterable[np.ndarray]) -> float:
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
        worst, tolerance = 0.0, self.operation.tolerance(self.shape)
        for i, (result, exact) in enumerate(zip(results, reference, strict=True)):
            found = np.asarray(result, float)
            if found.shape != np.shape(exact):
                raise AssertionError(
                    f"{self.group}: result {i} has shape {found.shape}, not {np.shape(exact)}"
                )
            unit = np.finfo(self.dtype).eps * np.abs(exact).max()
            error = float(np.abs(found - exact).max() / unit)
            if not error <= tolerance:  # NaN fails too
                raise AssertionError(
                    f"{self.group}: result {i} is off by {error:.3g} epsilons of its largest "
                    f"magnitude, {tolerance:.3g} are allowed"
                )
            worst = max(worst, error)
        return worst


@lru_cache(maxsize=1)
def _reference(case: Case, seed: int) -> tuple[np.ndarray, ...]:
    """Cache for the next case, often the same product in another layout."""
    inputs = case.inputs(seed)
    return case.operation.reference(
        **{name: x.astype(float) if x.dtype.kind == "f" else x for name, x in inputs.items()}
    )


def _cases(
    kernel: str,
    shapes: Iterable[Shape],
    dtypes: Iterable[str] = ("float32",),
    layouts: Iterable[str] = ("nn",),
) -> list[Case]:
    return [
        Case(kernel, shape, dtype, layout)
        for shape in shapes
        for dtype in dtypes
        for layout in layouts
    ]


BOTH = ("float32", "float64")
CUBES = [(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)]
# A batch of 128 through the layers of 784-256-10, one example, and a tiny case: call overhead.
LAYERS = [(128, 784, 256), (128, 256, 10), (1, 784, 256), (8, 8, 8)]

DEFAULT = [
    *_cases("matmul", CUBES + LAYERS),
    *_cases("matmul", [(n, n, n) for n in (128, 512)] + LAYERS[:2], layouts=("nt", "tn")),
    *_cases("matmul", [(n, n, n) for n in (64, 256, 1024)], ("float64",)),
    *_cases("matmul_prepacked", [(1, 784, 256)]),
    *_cases("matmul_bias_relu", [(256, 256, 256), (1024, 1024, 1024), *LAYERS[:3]]),
    *_cases("frobenius_norm", [(512, 512), (4096, 4096)], BOTH),
    *_cases("relu", [(64, 64), (1024, 1024)]),
    *_cases("relu", [(1024, 1024)], ("float64",)),
    *_cases("relu_backward", [(64, 64), (1024, 1024)]),
    *_cases("softmax", [(64, 64), (1024, 1024)]),
    *_cases("softmax", [(1024, 1024)], ("float64",)),
    *_cases("softmax_backward", [(64, 64), (1024, 1024)]),
    *_cases("cross_entropy", [(128, 10), (4096, 1000)]),
    *_cases("adamw", [(1_000_000,)], BOTH),
    *_cases("sgd", [(1_000_000,)]),
    *_cases("linear", [(128, 784, 256)]),
    *_cases("mlp", [(128, 10, 46, 46, 10)]),
    *_cases("train_step", [(128, 784, 256, 10)]),
    *_cases("call_relu", [(8, 8)]),
    *_cases("call_matmul", [(8, 8, 8)]),
]


# Products of networks: batches through layers, one example through large layers, long and short
# sums, tall and flat outputs; the last two, as "tn", are weight gradients x' dy.
PRODUCTS = [
    *[(n, n, n) for n in (8, 16, 32, 64, 100, 128, 256, 512, 1024, 2048)],
    *[(128, 784, 256), (128, 256, 10), (64, 256, 256), (256, 784, 1024), (256, 1024, 1024)],
    *[(1, 784, 256), (1, 768, 3072), (1, 3072, 768), (16, 768, 768)],
    *[(768, 128, 512), (768, 512, 128), (2048, 384, 1536), (2048, 1536, 384), (2048, 64, 2048)],
    *[(333, 777, 555), (4096, 128, 65), (64, 4096, 64)],
    *[(784, 128, 256), (256, 128, 10)],
]
# PyTorch on 16 CPUs takes nine times as long at width 46 as at 45 (pytorch/pytorch#144633).
WIDTHS = (44, 45, 46, 47, 48)
GEMM = [
    *_cases("matmul", PRODUCTS, layouts=("nn", "nt", "tn")),
    *_cases("matmul_prepacked", [(1, 784, 256), (1, 768, 3072), (16, 768, 768), (128, 784, 256)]),
    *_cases("linear", [(128, 784, 256), (256, 1024, 1024)]),
    *_cases("mlp", [(128, 10, width, width, 10) for width in WIDTHS]),
]
# Powers of two, and 3/2 of them.
SQUARES = [8, *[n for power in range(4, 11) for n in (1 << power, 3 << power - 1)], 2048]


@dataclass(frozen=True)
class Suite:
    """A table of cases, and the libraries to compare on it."""

    cases: list[Case]
    libraries: tuple[str, ...]


PRODUCT_LIBRARIES = ("fastnn", "numpy", "torch")  # SciPy's products use the same BLAS as NumPy's
SUITES = {
    "default": Suite(DEFAULT, LIBRARIES),
    "gemm": Suite(GEMM, PRODUCT_LIBRARIES),
    "squares": Suite(_cases("matmul", [(n, n, n) for n in SQUARES]), PRODUCT_LIBRARIES),
    **{
        name: Suite(
            [case for table in family.CASES for case in _cases(*table)],
            getattr(family, "LIBRARIES", LIBRARIES),
        )
        for name, family in FAMILIES.items()
    },
}


def select(suite: str, patterns: list[str] | None = None) -> list[Case]:
    """Select cases whose kernel equals, or whose group contains, one of the patterns.

    Raises
    ------
    ValueError
        When a pattern selects nothing; the message lists the suite's kernels.
    """
    cases = SUITES[suite].cases
    if patterns is None:
        return cases
    kernels = list(dict.fromkeys(case.kernel for case in cases))
    chosen: list[Case] = []
    for pattern in patterns:
        exact = pattern in kernels
        found = [c for c in cases if (c.kernel == pattern if exact else pattern in c.group)]
        if not found:
            raise ValueError(
                f"no case of the suite {suite!r} matches {pattern!r}; its kernels are "
                f"{', '.join(kernels)}"
            )
        chosen += [case for case in found if case not in chosen]
    return chosen
