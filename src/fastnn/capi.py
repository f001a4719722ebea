"""Addresses of the kernels for code outside Python, as declared in `include/fastnn.h`.

The header is the only declaration. This module parses its table, looks up each slot among the
functions of kernels/api.pyx and compares the signatures, so that table, addresses and signatures
cannot differ. docs/embedding.md explains their use from C, C++, Cython, numba, ctypes and SciPy.
"""

from __future__ import annotations

import ctypes as _ctypes
from collections.abc import Mapping
from itertools import repeat
from types import MappingProxyType
from typing import Any

from . import kernels
from ._version import __version__
from .c_header import HEADER, Function, number, parse
from .kernels import _capi, api
from .keywords import explained

__all__ = [
    "ABI_VERSION",
    "API_VERSION",
    "Function",
    "address",
    "capsule",
    "ctypes",
    "functions",
    "low_level_callable",
]

_C_TYPES: dict[str, Any] = {
    "int": _ctypes.c_int,
    "int64_t": _ctypes.c_int64,
    "uint64_t": _ctypes.c_uint64,
    "intptr_t": _ctypes.c_ssize_t,
    "float": _ctypes.c_float,
    "double": _ctypes.c_double,
    "char const *": _ctypes.c_char_p,
    "void *": _ctypes.c_void_p,
    "void const *": _ctypes.c_void_p,
}
for _name in ("int", "int64_t", "float", "double"):
    for _pointer in (f"{_name} *", f"{_name} const *"):
        _C_TYPES[_pointer] = _ctypes.POINTER(_C_TYPES[_name])


def _checked(function: Function, exported: Mapping[str, Any]) -> Any:
    """Return the capsule of a function; raise ImportError unless the signatures are equal."""
    if function.name not in exported:
        raise ImportError(f"fastnn.capi: kernels/api.pyx lacks {function.name}, which fastnn.h has")
    if _capi.signature(exported[function.name]) != function.signature:
        raise ImportError(
            f"fastnn.capi: {function.name} is {_capi.signature(exported[function.name])}, "
            f"but fastnn.h has {function.signature}"
        )
    return exported[function.name]


_header = HEADER.read_text(encoding="utf-8")
ABI_VERSION = number("FASTNN_ABI_VERSION", _header)
API_VERSION = number("FASTNN_API_VERSION", _header)
_functions = {f.name: f for f in parse(_header)}
_capsules = dict(
    zip(_functions, map(_checked, _functions.values(), repeat(api.__pyx_capi__)), strict=True)
)
_C_API = _capi.new_capsule(
    _capi.new_table(
        ABI_VERSION,
        API_VERSION,
        __version__.encode(),
        kernels.build_info()["isa"].encode(),
        [_capi.address(made) for made in _capsules.values()],
    ),
    "fastnn.capi._C_API",
)


def functions() -> Mapping[str, Function]:
    """Return every function of the table by name, in the order of the slots.

    Examples
    --------
    >>> len(fastnn.capi.functions()) > 60
    True
    """
    return MappingProxyType(_functions)


def _function(name: str) -> Function:
    if name not in _functions:
        raise ValueError(f"fastnn has no function {name!r}; fastnn.capi.functions() has them all")
    return _functions[name]


@explained
def address(name: str) -> int:
    """Return the address of a function.

    Parameters
    ----------
    name : str
        Such as "softmax_f32"; see `functions`.

    Raises
    ------
    ValueError
        There is no such function.

    Examples
    --------
    >>> fastnn.capi.address("softmax_f32") > 0
    True
    """
    _function(name)
    return int(_capi.address(_capsules[name]))


@explained
def capsule(name: str) -> Any:
    """Return the PyCapsule of a function, named by its signature, for `scipy.LowLevelCallable`.

    Raises ValueError as `address`.

    Examples
    --------
    >>> "softmax_f32" in fastnn.capi.functions(), type(fastnn.capi.capsule("softmax_f32")).__name__
    (True, 'PyCapsule')
    """
    _function(name)
    return _capsules[name]


@explained
def ctypes(name: str, *, void_pointers: bool = False) -> Any:
    """Return a ctypes function with argument types that releases the GIL.

    Parameters
    ----------
    name : str
        Such as "softmax_f32"; see `functions`.
    void_pointers : bool
        Declare every pointer as ``void *``. Compiled numba code can then pass 0 for NULL, such as
        a product without a bias, and ``x.ctypes`` for an array x.

    Returns
    -------
    ctypes function
        Pointers are typed: pass ctypes arrays, or ``x.ctypes.data_as(...)`` of a NumPy array x.
        Pass a plan as its `Plan.address`. Sizes and types of arrays cannot be checked; a wrong one
        may crash the process.

    Raises
    ------
    ValueError
        There is no such function.

    Examples
    --------
    >>> import ctypes
    >>> squared_norm = fastnn.capi.ctypes("squared_norm_f32", void_pointers=True)
    >>> x, result = np.float32([3, 4]), ctypes.c_double()
    >>> squared_norm(2, x.ctypes, ctypes.byref(result)), result.value
    (0, 25.0)
    """
    function = _function(name)
    kinds = [kind for kind, _ in function.arguments]
    types = [_ctypes.c_void_p if void_pointers and "*" in k else _C_TYPES[k] for k in kinds]
    made: Any = _ctypes.CFUNCTYPE(_C_TYPES[function.result], *types)(address(name))
    made.__name__ = f"fastnn_{name}"
    made.__doc__ = f"{function.prototype}\n\n{function.contract}"
    return made


@explained
def low_level_callable(name: str, plan: kernels.Plan) -> Any:
    """Return a float64 plan as a function that SciPy calls without Python.

    Parameters
    ----------
    name : {"plan_integrand", "plan_filter"}
        The first for `scipy.integrate` (quad, nquad), the second for
        `scipy.ndimage.generic_filter`.
    plan : fastnn.kernels.Plan
        With one output and dtype float64.

    Returns
    -------
    scipy.LowLevelCallable
        Keeps the plan alive.

    Raises
    ------
    ValueError
        The name is unknown, or the plan has more than one output.
    TypeError
        `plan` is not a Plan, or its dtype is not float64.

    Examples
    --------
    >>> from scipy.integrate import quad
    >>> plan = nn.Linear(1, 1, init="constant", dtype=np.float64).freeze()
    >>> quad(fastnn.capi.low_level_callable("plan_integrand", plan), 0, 1)[0]
    0.0
    """
    from scipy import LowLevelCallable

    if name not in ("plan_integrand", "plan_filter"):
        raise ValueError(f"plan_integrand and plan_filter are what SciPy can call, not {name!r}")
    if not isinstance(plan, kernels.Plan):
        raise TypeError(f"plan must be a fastnn.kernels.Plan, got {type(plan).__name__}")
    if plan.dtype != "float64":
        raise TypeError(f"SciPy calls with float64, but this plan is of {plan.dtype}")
    if plan.n_out != 1:
        raise ValueError(f"SciPy wants one value, but this plan has {plan.n_out} outputs")
    return LowLevelCallable(capsule(name), plan.capsule)
