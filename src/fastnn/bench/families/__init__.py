"""Families of kernels, each with its cases and all its implementations in one file.

A module ``families/NAME.py`` defines three names:

``OPERATIONS``
    ``{kernel: Operation}``: what a kernel computes and how it is checked.
``CASES``
    ``[(tier, kernel, shapes), ...]``, then optionally types and layouts. The tier says which runs
    take the row: "quick" every run, "default" all but ``--quick``, "full" only ``--full``.
``PREPARE``
    ``{library: {kernel: make}}``. ``make(library, *arrays)`` gets the library's module, and the
    inputs of the case that its parameters name as the library's own arrays (it may keep and change
    them); ``out`` is an array for the result, ``inputs`` all inputs in NumPy. It returns a function
    without arguments: one call of it does the work once and returns the results that
    ``Operation.reference`` lists, or None in the place of a result that the library does not give.
    A kernel that a library lacks is absent.
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
