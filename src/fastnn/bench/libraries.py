"""The libraries to compare: how each is found, installed, given its threads and asked for its ISA.

A way to run a library (compiled, in bfloat16, in int8) is a library of its own here, with its own
process. A ``lossy`` one computes in fewer bits: it is shown, and is not among the peers that
fastnn's ratio is taken to.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .families import FAMILIES
from .operations import FORMATS, Arrays, Call, Operation, Prepare

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
def _restored(get: Callable[[], Any], set_to: Callable[[Any], Any], value: Any) -> Iterator[None]:
    before = get()
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


def _torch_threads(n: int) -> AbstractContextManager[None]:
    import torch

    return _restored(torch.get_num_threads, torch.set_num_threads, n)


def _jax_threads(n: int) -> AbstractContextManager[None]:
    """Let JAX use n CPUs: XLA starts a thread per visible CPU at its first computation."""
    import jax

    jax.config.update("jax_enable_x64", True)  # or float64 arrays become float32
    cpus = os.sched_getaffinity(0)
    return _restored(lambda: cpus, partial(os.sched_setaffinity, 0), sorted(cpus)[:n])


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


def _thinc_ops() -> Any:
    from thinc.api import get_current_ops

    return get_current_ops()


@dataclass(frozen=True)
class Library:
    """A library, or a way to run one."""

    title: str  # what the report calls it
    modules: tuple[str, ...]  # all that must be importable; the first is the library itself
    packages: str  # what `pip install` is given
    # lets the library use n threads; without, it takes OMP_NUM_THREADS, as every worker has it
    threads: Callable[[int], AbstractContextManager[Any]] = nullcontext
    isa: Callable[[], str] = str  # the instruction set it chose, "" if it does not say
    lossy: bool = False  # computes in fewer bits than the case's type
    quick: bool = True  # False if it is left out of quick runs: compiling takes a minute
    # what makers get as the library: a module, its first one if "", or what a function returns
    api: str | Callable[[], Any] = ""

    @property
    def is_ours(self) -> bool:
        return self.modules[0] == OURS

    def load(self) -> Any:
        """Import the library and return what makers get."""
        if callable(self.api):
            return self.api()
        return importlib.import_module(self.api or self.modules[0])


_CPU = "torch --index-url https://download.pytorch.org/whl/cpu"
_FASTNN = Library("fastnn", ("fastnn",), "fastnn-cpu", _our_threads, _our_isa, api="fastnn.kernels")
_TORCH = Library("PyTorch", ("torch",), _CPU, _torch_threads, _torch_isa)
_ONNX = Library("onnxruntime", ("onnxruntime", "onnx"), "onnxruntime onnx")
_NUMPY = Library("NumPy", ("numpy",), "numpy", _blas_threads, _blas_isa)
LIBRARIES = {
    OURS: _FASTNN,
    "numpy": _NUMPY,
    "scipy": replace(_NUMPY, title="SciPy", modules=("scipy",), packages="scipy"),
    "torch": _TORCH,
    "torch_compile": replace(_TORCH, title="PyTorch compiled", quick=False),
    "torch_bf16": replace(_TORCH, title="PyTorch bf16", lossy=True),
    "jax": Library("JAX", ("jax", "jaxlib"), "jax", _jax_threads),
    "onnxruntime": _ONNX,
    "onnxruntime_int8": replace(_ONNX, title="onnxruntime int8", lossy=True),
    "sklearn": replace(
        _NUMPY,
        title="scikit-learn",
        modules=("sklearn",),
        packages="scikit-learn",
        api="sklearn.neural_network",
    ),
    "thinc": Library("thinc", ("thinc", "blis"), "thinc blis", api=_thinc_ops),
    "blis": Library("BLIS", ("blis",), "blis", api="blis.py"),
    "numkong": Library("NumKong", ("numkong",), "numkong"),
    **{
        f"fastnn_{form}": replace(_FASTNN, title=f"fastnn {form}", lossy=True, quick=False)
        for form in FORMATS
    },
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
    return {
        kernel: partial(_prepare, LIBRARIES[name], family.OPERATIONS[kernel], make)
        for family in FAMILIES.values()
        for kernel, make in family.PREPARE.get(name, {}).items()
    }


def _prepare(library: Library, operation: Operation, make: Any, inputs: Arrays) -> Call:
    """Call a maker with the library and the arrays that its parameters name.

    "inputs" are all of them as they are; names that begin with "out" are arrays to write to.
    """
    module, kind = library.load(), library.modules[0]
    first = next(x for x in inputs.values() if x.dtype.kind == "f")
    shape = operation.out(inputs) if operation.out else first.shape

    def given(name: str) -> Any:
        if name == "inputs":
            return inputs
        if name.startswith("out"):
            return _empty(kind, module, shape, first)
        if kind == "torch":
            return module.from_numpy(inputs[name])
        return module.numpy.asarray(inputs[name]) if kind == "jax" else inputs[name]

    call: Call = make(module, *map(given, _taken(make)))
    return call


def _taken(make: Any) -> list[str]:
    """Return what a maker takes after the library: all that has no default."""
    if hasattr(make, "takes"):
        return list(make.takes)
    found = inspect.signature(make).parameters.values()
    return [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty][1:]


def _empty(kind: str, module: Any, shape: tuple[int, ...], like: np.ndarray) -> Any:
    """Return an array of the library to write to."""
    if kind == OURS:
        from fastnn.kernels.ground import memory

        return memory.empty(shape, like.dtype)
    if kind == "torch":
        return module.from_numpy(like).new_empty(shape)
    return np.empty(shape, like.dtype)


def version_of(name: str) -> str:
    """Import the library and return its version."""
    module = LIBRARIES[name].modules[0]
    known = getattr(importlib.import_module(module), "__version__", None)
    try:
        return str(known or version(module))
    except PackageNotFoundError:
        return ""
