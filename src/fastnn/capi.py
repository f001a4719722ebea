"""The kernels by address, for code that is not Python: what `include/fastnn.h` describes.

The header is the one description. Its table is read here, each slot is looked up among the functions
that the kernels' modules export, and their signatures are compared, so that table, addresses and
signatures cannot differ. docs/embedding.md says how to use them from C, C++, Cython, numba, ctypes
and SciPy.
"""

from __future__ import annotations

import ctypes as _ctypes
import re
import sys
from collections.abc import Mapping
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from . import kernels
from ._version import __version__
from .kernels import _capi

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

HEADER = Path(__file__).parent / "include" / "fastnn.h"

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

_SLOT = re.compile(
    r"/\*\s*(?P<comment>.*?)\s*\*/"
    r"|(?P<result>(?:const )?\w+ \**)\(\*(?P<name>\w+)\)\((?P<arguments>[^)]*)\);",
    re.DOTALL,
)


class Function(NamedTuple):
    """One function of the table.

    Attributes
    ----------
    name : str
        As in ``fastnn_table->name``, without the prefix ``fastnn_``.
    api : int
        The API version that brought it.
    result : str
        Its type, such as "int".
    arguments : tuple of (str, str)
        Type and name of each, such as ("float const \\*", "x").
    contract : str
        The comment above it in the header.
    prototype : str
        The declaration of ``fastnn_name`` in C.
    """

    name: str
    api: int
    result: str
    arguments: tuple[tuple[str, str], ...]
    contract: str
    prototype: str

    @property
    def signature(self) -> str:
        """As Cython, SciPy and cffi write it: ``int (int64_t, float const \\*)``."""
        space = "" if self.result.endswith("*") else " "
        kinds = ", ".join(kind for kind, _ in self.arguments) or "void"
        return f"{self.result}{space}({kinds})"


def _spell(declared: str) -> str:
    """A C type as Cython spells it: "const float *" is "float const *". Plans, states: opaque."""
    declared = declared.strip()
    const = declared.startswith("const ")
    base, star = re.fullmatch(r"(\w+)\s*(\**)", declared.removeprefix("const ")).groups()  # type: ignore[union-attr]
    base = "void" if base in ("fastnn_plan", "fastnn_state") else base
    return base + (" const" if const else "") + (f" {star}" if star else "")


def _argument(declared: str) -> tuple[str, str]:
    kind, name = re.fullmatch(r"(.*?)(\w+)", declared.strip(), re.DOTALL).groups()  # type: ignore[union-attr]
    return _spell(kind), name


def parse(header: str) -> tuple[Function, ...]:
    """The functions of the table in the text of fastnn.h, in the order of their slots."""
    table = header.split("typedef struct fastnn_api {")[1].split("} fastnn_api;")[0]
    found, contract, api = [], "", 0
    for part in _SLOT.finditer(table.split("const char *isa;")[1]):
        comment = part["comment"]
        if comment is None:
            inner = " ".join(part["arguments"].split())
            arguments = () if inner == "void" else tuple(map(_argument, inner.split(",")))
            prototype = f"{part['result']}fastnn_{part['name']}({inner});"
            result = _spell(part["result"])
            found.append(Function(part["name"], api, result, arguments, contract, prototype))
        elif level := re.fullmatch(r"-+ API (\d+) -+", comment):
            api = int(level[1])
        elif found or api:
            contract = re.sub(r"\s+\* ", " ", comment)
    return tuple(found)


def _number(name: str, header: str) -> int:
    return int(re.search(rf"#define {name} (\d+)", header)[1])  # type: ignore[index]


def _exported() -> dict[str, Any]:
    """Capsules of everything that the kernels' modules export, by name."""
    loaded = [m for name, m in sys.modules.items() if name.startswith(f"{kernels.__name__}.")]
    modules = [m for m in loaded if hasattr(m, "__pyx_capi__")]
    return {name: made for m in modules for name, made in m.__pyx_capi__.items()}


def _checked(function: Function, exported: Mapping[str, Any]) -> Any:
    """The capsule of a function, if there is one of this very signature."""
    if function.name not in exported:
        raise ImportError(f"fastnn.capi: no kernel exports {function.name}, which fastnn.h has")
    if _capi.signature(exported[function.name]) != function.signature:
        raise ImportError(
            f"fastnn.capi: {function.name} is {_capi.signature(exported[function.name])}, "
            f"but fastnn.h has {function.signature}"
        )
    return exported[function.name]


_header = HEADER.read_text(encoding="utf-8")
ABI_VERSION = _number("FASTNN_ABI_VERSION", _header)
API_VERSION = _number("FASTNN_API_VERSION", _header)
_functions = {f.name: f for f in parse(_header)}
_capsules = dict(
    zip(_functions, map(_checked, _functions.values(), repeat(_exported())), strict=True)
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
    """Every function of the table by name, in the order of the slots."""
    return MappingProxyType(_functions)


def _function(name: str) -> Function:
    if name not in _functions:
        raise ValueError(f"fastnn has no function {name!r}; fastnn.capi.functions() has them all")
    return _functions[name]


def address(name: str) -> int:
    """The address of a function.

    Parameters
    ----------
    name : str
        Such as "softmax_f32"; see `functions`.

    Raises
    ------
    ValueError
        There is no such function.
    """
    _function(name)
    return int(_capi.address(_capsules[name]))


def capsule(name: str) -> Any:
    """The PyCapsule of a function, named by its signature, as `scipy.LowLevelCallable` takes it.

    Raises ValueError as `address`.
    """
    _function(name)
    return _capsules[name]


def ctypes(name: str, *, void_pointers: bool = False) -> Any:
    """Return a function as ctypes calls it: argument types are set and the GIL is released.

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
        Pointers are typed: pass ctypes arrays, or ``x.ctypes.data_as(...)`` of a NumPy array x. A
        plan is passed as its `Plan.address`. Sizes and types of arrays cannot be checked: what does
        not fit crashes.

    Raises
    ------
    ValueError
        There is no such function.
    """
    function = _function(name)
    kinds = [kind for kind, _ in function.arguments]
    types = [_ctypes.c_void_p if void_pointers and "*" in k else _C_TYPES[k] for k in kinds]
    made: Any = _ctypes.CFUNCTYPE(_C_TYPES[function.result], *types)(address(name))
    made.__name__ = f"fastnn_{name}"
    made.__doc__ = f"{function.prototype}\n\n{function.contract}"
    return made


def low_level_callable(name: str, plan: kernels.Plan) -> Any:
    """A float64 plan as a function that SciPy calls without Python.

    Parameters
    ----------
    name : {"plan_integrand", "plan_filter"}
        The first for `scipy.integrate` (quad, nquad), the second for
        `scipy.ndimage.generic_filter`.
    plan : fastnn.kernels.Plan
        With one output; of float64.

    Returns
    -------
    scipy.LowLevelCallable
        Keeps the plan alive.

    Raises
    ------
    ValueError
        The name is no other, or the plan has more than one output.
    TypeError
        The plan is not of float64, or is none.
    """
    from scipy import LowLevelCallable

    if name not in ("plan_integrand", "plan_filter"):
        raise ValueError(f"plan_integrand and plan_filter are what SciPy can call, not {name!r}")
    if not isinstance(plan, kernels.Plan):
        raise TypeError(f"plan must be a fastnn.kernels.Plan, not {type(plan).__name__}")
    if plan.dtype != "float64":
        raise TypeError(f"SciPy calls with float64, but this plan is of {plan.dtype}")
    if plan.n_out != 1:
        raise ValueError(f"SciPy wants one value, but this plan has {plan.n_out} outputs")
    return LowLevelCallable(capsule(name), plan.capsule)
