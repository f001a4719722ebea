"""Parse include/fastnn.h: its functions with their types, and its constants."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

HEADER = Path(__file__).parent / "include" / "fastnn.h"

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
        The API version that added it.
    result : str
        The return type, such as "int".
    arguments : tuple of (str, str)
        Type and name of each, such as ("float const \\*", "x").
    contract : str
        The comment above it in the header.
    prototype : str
        The declaration of ``fastnn_name`` in C.

    Examples
    --------
    >>> function = fastnn.capi.functions()["squared_norm_f32"]
    >>> function.prototype
    'int fastnn_squared_norm_f32(int64_t n, const float *x, double *square);'
    """

    name: str
    api: int
    result: str
    arguments: tuple[tuple[str, str], ...]
    contract: str
    prototype: str

    @property
    def signature(self) -> str:
        """The signature as Cython, SciPy and cffi write it: ``int (int64_t, float const \\*)``."""
        space = "" if self.result.endswith("*") else " "
        kinds = ", ".join(kind for kind, _ in self.arguments) or "void"
        return f"{self.result}{space}({kinds})"


def _spell(declared: str) -> str:
    """Return a C type as Cython spells it: "float const *". Plans and states become void."""
    declared = declared.strip()
    const = declared.startswith("const ")
    match = re.fullmatch(r"(\w+)\s*(\**)", declared.removeprefix("const "))
    base, star = match.groups()  # type: ignore[union-attr]
    base = "void" if base in ("fastnn_plan", "fastnn_state") else base
    return base + (" const" if const else "") + (f" {star}" if star else "")


def _argument(declared: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.*?)(\w+)", declared.strip(), re.DOTALL)
    kind, name = match.groups()  # type: ignore[union-attr]
    return _spell(kind), name


def parse(header: str) -> tuple[Function, ...]:
    """Return the functions of the table in the text of fastnn.h, in the order of their slots."""
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
            contract = re.sub(r"\n\s*\* ?", " ", comment)
    return tuple(found)


def number(name: str, header: str) -> int:
    return int(re.search(rf"#define {name} (\d+)", header)[1])  # type: ignore[index]
