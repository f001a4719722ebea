"""Make kernels/simd/calls.pxd from simd/leaves.h; setup.py runs this before each build."""

import re
from pathlib import Path

SIMD = Path(__file__).parent.parent / "src" / "fastnn" / "kernels" / "simd"
HEAD = '''"""The primitives of leaves.h, as Cython calls them; made by tools/leaf_calls.py.

Pointers to reals are `void*`: a macro picks the function for the type that they point to, at
compile time.
"""
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from .leaves cimport fastnn_step

'''


def primitives(header):
    """Return (result, name, arguments) of each row of the table; R is the real type."""
    tables = re.findall(r"#define FASTNN_LEAVES(?:_\w+)?\(LEAF.*\)((?:.*\\\n)+.*\n)", header)
    listed = "".join(tables).replace("\\\n", "")
    rows = re.findall(r"LEAF\((\w+), (\w+), ([^)]*)\)", listed)
    return [(result, name, re.sub(r"\s+", " ", listed)) for result, name, listed in rows]


def text(header):
    """Return the text of calls.pxd."""
    macros, declarations = [], []
    for result, name, listed in primitives(header):
        if re.search(r"\bR \*", listed):
            macros.append(f"#define fastnn_{name}(...) FASTNN_CALL({name}, __VA_ARGS__)")
        else:  # the same function for both types
            macros.append(f"#define fastnn_{name} fastnn_f32.{name}")
        listed = re.sub(r"\bR \*", "void *", listed).replace("struct ", "")
        call = re.sub(r"\bR\b", "double", f'{result} {name} "fastnn_{name}"({listed})')
        declarations.append(call)
    quoted = ['"""', '#include "leaves.h"', *macros, '"""']
    lines = ["cdef extern from * nogil:", *(f"    {line}" for line in quoted + declarations)]
    return HEAD + "\n".join(lines) + "\n"


def write():
    """Write the file if it is out of date."""
    path, made = SIMD / "calls.pxd", text((SIMD / "leaves.h").read_text("utf-8"))
    if not path.exists() or path.read_text("utf-8") != made:
        path.write_text(made, "utf-8")


if __name__ == "__main__":
    write()
