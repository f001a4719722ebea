"""The libraries to compare, one module each, all with the same four names.

``VERSION``
    Name and version of the library.
``ISA``
    The instruction set the library chose, or "" if it does not say.
``threads(n)``
    Context manager that lets the library use n threads.
``PREPARE``
    ``PREPARE[kernel](inputs)`` takes the arrays of ``Case.inputs`` (it may keep and change them),
    allocates the outputs and returns a function without arguments: one call of it does the work
    once and returns the results that ``Operation.reference`` lists. Kernels that the library lacks
    are absent.

A module imports its library, so ``load`` it only if ``available`` names it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ..families import FAMILIES

LIBRARIES = ("fastnn", "numpy", "scipy", "torch", "jax", "onnxruntime")
# Another way to run a library, with separate turns in the suites that name it.
WAYS = {"torch_compile": "torch"}
Call = Callable[[], tuple[Any, ...]]


def available() -> list[str]:
    """Return the libraries that this interpreter can import."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]


def load(name: str) -> ModuleType:
    """Import a library and its implementations, those of the families included."""
    module = importlib.import_module(f".with_{name}", __package__)
    for family in FAMILIES.values():
        module.PREPARE.update(family.PREPARE.get(name, {}))
    return module


@contextmanager
def blas_threads(n: int) -> Iterator[None]:
    """Let the BLAS behind NumPy and SciPy use n threads.

    Raises
    ------
    RuntimeError
        When threadpoolctl is missing and the environment has not set n threads either.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        if os.environ.get("OMP_NUM_THREADS") != str(n):
            raise RuntimeError(
                "the threads of NumPy's BLAS are set through threadpoolctl: "
                "pip install 'fastnn-cpu[bench]'"
            ) from None
        yield
    else:
        with threadpool_limits(n, user_api="blas"):
            yield


def blas_architecture() -> str:
    """Return the processor that OpenBLAS selected its kernels for, or ""."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    return ", ".join(sorted({pool.get("architecture", "") for pool in threadpool_info()} - {""}))
