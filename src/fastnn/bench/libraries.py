"""The libraries to compare: how each is found, installed, given its threads and asked for its ISA.

A way to run a library (compiled, in bfloat16, in int8) is a library of its own here, with its own
process. A ``lossy`` one computes in fewer bits: it is shown, and is not among the peers that
fastnn's ratio is taken to.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .families import FAMILIES
from .operations import Prepare

OURS = "fastnn"


@contextmanager
def _blas_threads(n: int) -> Iterator[None]:
    """Let the BLAS behind NumPy and SciPy use n threads: threadpoolctl, else the environment."""
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


@contextmanager
def _torch_threads(n: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _jax_threads(n: int) -> Iterator[None]:
    """Let JAX use n CPUs: XLA starts a thread per visible CPU at its first computation."""
    import jax

    jax.config.update("jax_enable_x64", True)  # or float64 arrays become float32
    before: Any = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


_onnxruntime_threads = 1


def onnxruntime_threads() -> int:
    """Return the number of threads for a new session of onnxruntime."""
    return _onnxruntime_threads


@contextmanager
def _session_threads(n: int) -> Iterator[None]:
    global _onnxruntime_threads
    before, _onnxruntime_threads = _onnxruntime_threads, n
    try:
        yield
    finally:
        _onnxruntime_threads = before


@contextmanager
def _one_thread(n: int) -> Iterator[None]:
    yield


def _our_threads(n: int) -> AbstractContextManager[Any]:
    from fastnn.kernels.ground.threads import num_threads

    return num_threads(n)


def _our_isa() -> str:
    from fastnn.kernels.ground.machine import build_info

    return str(build_info()["isa"])


def _blas_isa() -> str:
    """Return the processor that OpenBLAS selected its kernels for, or ""."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    return ", ".join(sorted({pool.get("architecture", "") for pool in threadpool_info()} - {""}))


def _torch_isa() -> str:
    import torch

    return str(torch.backends.cpu.get_cpu_capability())


def _unknown() -> str:
    return ""


@dataclass(frozen=True)
class Library:
    """A library, or a way to run one.

    Attributes
    ----------
    title : str
        What the report calls it.
    modules : tuple of str
        All that must be importable; the first is the library itself.
    packages : str
        What `pip install` is given.
    threads : callable
        ``threads(n)``: a context manager that lets the library use n threads.
    isa : callable
        The instruction set the library chose, or "" if it does not say.
    lossy : bool
        True if it computes in fewer bits than the case's type.
    quick : bool
        False if it is left out of quick runs: compiling takes a minute.
    """

    title: str
    modules: tuple[str, ...]
    packages: str
    threads: Callable[[int], AbstractContextManager[Any]]
    isa: Callable[[], str] = _unknown
    lossy: bool = False
    quick: bool = True


_TORCH = "torch --index-url https://download.pytorch.org/whl/cpu"
_ONNX = ("onnxruntime", "onnx")
LIBRARIES = {
    OURS: Library("fastnn", ("fastnn",), "fastnn-cpu", _our_threads, _our_isa),
    "numpy": Library("NumPy", ("numpy",), "numpy", _blas_threads, _blas_isa),
    "scipy": Library("SciPy", ("scipy",), "scipy", _blas_threads, _blas_isa),
    "torch": Library("PyTorch", ("torch",), _TORCH, _torch_threads, _torch_isa),
    "torch_compile": Library(
        "PyTorch compiled", ("torch",), _TORCH, _torch_threads, _torch_isa, quick=False
    ),
    "torch_bf16": Library("PyTorch bf16", ("torch",), _TORCH, _torch_threads, _torch_isa, True),
    "jax": Library("JAX", ("jax", "jaxlib"), "jax", _jax_threads),
    "onnxruntime": Library("onnxruntime", _ONNX, "onnxruntime onnx", _session_threads),
    "onnxruntime_int8": Library(
        "onnxruntime int8", _ONNX, "onnxruntime onnx", _session_threads, lossy=True
    ),
    "sklearn": Library("scikit-learn", ("sklearn",), "scikit-learn", _blas_threads, _blas_isa),
    "thinc": Library("thinc", ("thinc", "blis"), "thinc blis", _one_thread),
    "blis": Library("BLIS", ("blis",), "blis", _one_thread),
    "numkong": Library("NumKong", ("numkong",), "numkong", _one_thread),
}


def available() -> list[str]:
    """Return the libraries that this interpreter can import."""
    return [
        name
        for name, library in LIBRARIES.items()
        if all(importlib.util.find_spec(module) is not None for module in library.modules)
    ]


def prepares(name: str) -> dict[str, Prepare]:
    """Return the kernels that the library has: ``{kernel: prepare}``."""
    found: dict[str, Prepare] = {}
    for family in FAMILIES.values():
        found |= family.PREPARE.get(name, {})
    return found


def version_of(name: str) -> str:
    """Import the library and return its version."""
    module = LIBRARIES[name].modules[0]
    known = getattr(importlib.import_module(module), "__version__", None)
    try:
        return str(known or version(module))
    except PackageNotFoundError:
        return ""
