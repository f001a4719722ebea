"""The one table of cases, which ``pytest bench`` and ``python -m bench.ratios`` share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .operations import OPERATIONS, Arrays, Operation, Shape

SHORT = {"float32": "f32", "float64": "f64"}


@dataclass(frozen=True)
class Case:
    """One operation at one shape in one type.

    Attributes
    ----------
    kernel : str
        Key of ``OPERATIONS`` and of every library's ``PREPARE``.
    shape : tuple of int
        What it means is said in ``operations``: (m, k, n) for products, (rows, columns) for rows.
    dtype : str
        "float32" or "float64".
    layout : str
        How the operands of a product lie in memory: "nn", or "t" in the place of the one that is
        the transposed view of a C-contiguous array, as backward passes have it.
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
        """Name of the case, and of its pytest-benchmark group: "matmul-f32-64x64x64-nt"."""
        name = f"{self.kernel}-{SHORT[self.dtype]}-{'x'.join(map(str, self.shape))}"
        return name if self.layout == "nn" else f"{name}-{self.layout}"

    @property
    def flops(self) -> int:
        """Floating-point operations of one call."""
        return self.operation.flops(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes that one call reads and writes at the least."""
        return self.operation.numbers(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def working_set(self) -> int:
        """Bytes of the arrays of one call."""
        return self.operation.held(self.shape) * np.dtype(self.dtype).itemsize

    def inputs(self, seed: int) -> Arrays:
        """Fresh random arrays; the same for the same seed."""
        rng = np.random.default_rng(seed)
        arrays = self.operation.inputs(self.shape, np.dtype(self.dtype).type, rng)
        for name, order in zip(("a", "b"), self.layout, strict=True):
            if order == "t":
                arrays[name] = np.asfortranarray(arrays[name])
        return arrays

    def reference(self, seed: int) -> tuple[np.ndarray, ...]:
        """The exact results for ``inputs(seed)``, as far as float64 goes."""
        inputs = self.inputs(seed)
        return self.operation.reference(
            **{name: x.astype(float) if x.dtype.kind == "f" else x for name, x in inputs.items()}
        )

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
            if not error <= tolerance:  # so that a NaN fails too
                raise AssertionError(
                    f"{self.group}: result {i} is off by {error:.3g} epsilons of its largest "
                    f"magnitude, {tolerance:.3g} are allowed"
                )
            worst = max(worst, error)
        return worst


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
# A batch of 128 through the layers of 784-256-10, one example, and what is all overhead.
LAYERS = [(128, 784, 256), (128, 256, 10), (1, 784, 256), (8, 8, 8)]

CASES: list[Case] = [
    *_cases("matmul", CUBES + LAYERS),
    *_cases("matmul", [(n, n, n) for n in (128, 512)] + LAYERS[:2], layouts=("nt", "tn")),
    *_cases("matmul", [(n, n, n) for n in (64, 256, 1024)], ("float64",)),
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
    *_cases("train_step", [(128, 784, 256, 10)]),
    *_cases("call_relu", [(8, 8)]),
    *_cases("call_matmul", [(8, 8, 8)]),
]


def select(patterns: list[str] | None) -> list[Case]:
    """The cases whose kernel is, or whose group contains, one of the patterns; None means all.

    Raises
    ------
    ValueError
        When a pattern selects nothing; the message lists the kernels.
    """
    if patterns is None:
        return CASES
    kernels = list(dict.fromkeys(case.kernel for case in CASES))
    chosen: list[Case] = []
    for pattern in patterns:
        exact = pattern in kernels
        found = [c for c in CASES if (c.kernel == pattern if exact else pattern in c.group)]
        if not found:
            raise ValueError(f"no case matches {pattern!r}; the kernels are {', '.join(kernels)}")
        chosen += [case for case in found if case not in chosen]
    return chosen
