"""Families of kernels, each with its cases and all its implementations in one file.

A module ``families/NAME.py`` defines three names:

``OPERATIONS``
    ``{kernel: Operation}``: what a kernel computes and how it is checked.
``CASES``
    ``[(tier, kernel, shapes), ...]``, then optionally types and layouts. The tier says which runs
    take the row: "quick" every run, "default" all but ``--quick``, "full" only ``--full``.
``PREPARE``
    ``{library: {kernel: prepare}}``. ``prepare(inputs)`` takes the arrays of ``Case.inputs`` (it
    may keep and change them), allocates the outputs and returns a function without arguments: one
    call of it does the work once and returns the results that ``Operation.reference`` lists, or
    None in the place of a result that the library does not give. It imports its library when it
    is called. A kernel that a library lacks is absent.
"""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = (
    "gemm",
    "networks",
    "attention",
    "transformer",
    "activations",
    "softmax",
    "layernorm",
    "losses",
    "updates",
    "norms",
    "embedding",
    "dropout",
)
FAMILIES: dict[str, ModuleType] = {
    name: importlib.import_module(f"{__name__}.{name}") for name in NAMES
}
