"""fastnn: a small, fast numerics core for neural networks on CPUs.

The kernels (`matmul`, `softmax`, `cross_entropy`, ...) are functions on NumPy arrays. `fastnn.nn`
has layers with hand-written backward passes, `fastnn.optim` has optimizers, `fastnn.fit` is a
training loop, and `fastnn.data` has data sets to start with.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import hooks
from ._command import refuse

try:
    from . import kernels
except ImportError as error:  # FASTNN_ISA is invalid, or a library is missing
    refuse(error)
    raise
from ._version import __version__
from .kernels import (
    PackedMatrix,
    Plan,
    PlanState,
    add_norm,
    add_norm_backward,
    attention,
    attention_backward,
    build_info,
    cross_entropy,
    dropout,
    dropout_backward,
    embedding,
    embedding_backward,
    frobenius_norm,
    gate,
    gate_backward,
    gemm,
    get_num_threads,
    l1_norm,
    layer_norm,
    layer_norm_backward,
    leaky_relu,
    leaky_relu_backward,
    linear_backward,
    log_softmax,
    log_softmax_backward,
    matmul,
    num_threads,
    pack,
    prelu,
    prelu_backward,
    rms_norm,
    rms_norm_backward,
    rotary,
    set_num_threads,
    softmax,
    softmax_backward,
    squared_norm,
)
from .kernels.rowwise import activation_arrays
from .kernels.rowwise.activation_arrays import *  # noqa: F403

if TYPE_CHECKING:  # so that type checkers and editors see what `__getattr__` loads on first use
    from . import capi as capi
    from . import data as data
    from . import distributed as distributed
    from . import files as files
    from . import models as models
    from . import nn as nn
    from . import optim as optim
    from . import plot as plot
    from . import sklearn as sklearn
    from . import table as table
    from . import text as text
    from . import train as train
    from .files import load as load
    from .files import plan_from_file as plan_from_file
    from .files import save as save
    from .interop import asarray as asarray
    from .nn.gradcheck import gradcheck as gradcheck
    from .train.evaluate import evaluate as evaluate
    from .train.fit import fit as fit

# Loaded on first use, so that `import fastnn` costs little more than NumPy.
_MODULES = tuple(
    "capi data distributed files models nn optim plot sklearn table text train".split()
)
_FUNCTIONS = {
    "asarray": "interop",
    "fit": "train",
    "evaluate": "train",
    "load": "files",
    "plan_from_file": "files",
    "save": "files",
    "gradcheck": "nn",
}

__all__ = [
    "PackedMatrix",
    "Plan",
    "PlanState",
    "__version__",
    "add_norm",
    "add_norm_backward",
    "attention",
    "attention_backward",
    "build_info",
    "cross_entropy",
    "dropout",
    "dropout_backward",
    "embedding",
    "embedding_backward",
    "frobenius_norm",
    "gate",
    "gate_backward",
    "gemm",
    "get_include",
    "get_num_threads",
    "kernels",
    "l1_norm",
    "log_softmax",
    "log_softmax_backward",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear_backward",
    "matmul",
    "num_threads",
    "pack",
    "prelu",
    "prelu_backward",
    "rms_norm",
    "rms_norm_backward",
    "rotary",
    "set_num_threads",
    "softmax",
    "softmax_backward",
    "squared_norm",
    *_MODULES,
    *_FUNCTIONS,
]
__all__ += activation_arrays.__all__


def get_include() -> str:
    """Return the folder of fastnn.h and its includes; a Cython extension does not need it.

    Examples
    --------
    >>> from pathlib import Path
    >>> Path(fastnn.get_include(), "fastnn.h").exists()
    True
    """
    return str(Path(__file__).parent / "include")


def _loaded(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    from .names import unknown

    unknown(__name__, __all__)(name)


if not TYPE_CHECKING:  # a checker would take any name for an attribute
    __getattr__ = _loaded

# Lower floors call these by name, since no module imports from a floor above its own.
hooks.bind("save", lambda: _loaded("save"))
hooks.bind("models", lambda: _loaded("models"))


def __dir__() -> list[str]:
    return sorted(__all__)
