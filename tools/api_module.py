"""Make kernels/api.pyx and api.pxd from include/fastnn.h; setup.py runs this before each build.

A function NAME_f32 or NAME_f64 calls NAME_real, a fused function declared in the .pxd of a family;
any other calls the function of the same name.
"""

import importlib.util
import re
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "fastnn"
KERNELS = PACKAGE / "kernels"
HEAD = '''"""The functions of include/fastnn.h, which other extensions cimport from here.

Made by tools/api_module.py from the header, which has their contracts.
"""
from libc.stdint cimport int64_t, intptr_t, uint64_t
'''


def functions():
    """Return the functions of the header, in order."""
    spec = importlib.util.spec_from_file_location("c_header", PACKAGE / "c_header.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.parse(module.HEADER.read_text(encoding="utf-8"))


def wrapped(head, parts, tail="", indent=""):
    """Format head(parts)tail in lines of at most 100 columns."""
    line = f"{indent}{head}({', '.join(parts)}){tail}"
    if len(line) <= 100:
        return line
    lines, last = [], f"{indent}   "
    for i, part in enumerate(parts):
        word = f" {part}," if i + 1 < len(parts) else f" {part}"
        if len(last + word) > 100:
            lines.append(last)
            last = f"{indent}   "
        last += word
    return "\n".join([f"{indent}{head}(", *lines, last, f"{indent}){tail}"])


def declaration(function, tail=""):
    """Return the Cython declaration of a function."""
    text = re.sub(r"fastnn_(plan|state) \*", "void *", function.prototype)
    result, inner = re.fullmatch(r"(.*)\((.*)\);", text).groups()
    arguments = [] if inner == "void" else inner.split(", ")
    return wrapped(f"cdef {result.replace('fastnn_', '')}", arguments, f" noexcept nogil{tail}")


def bodies():
    """Return name -> module of every C function declared in the kernels' .pxd files."""
    found = {}
    for path in sorted(KERNELS.rglob("*.pxd")):
        names = re.findall(r"^cdef (?:const )?\w+ \*?(\w+)\(", path.read_text("utf-8"), re.M)
        if path.name != "api.pxd":
            module = ".".join(path.relative_to(KERNELS).with_suffix("").parts)
            found.update(dict.fromkeys(names, module))
    return found


def definitions(listed):
    """Return the text of api.pyx."""
    where, imports, made = bodies(), {}, []
    for function in listed:
        body = re.sub("_f(32|64)$", "_real", function.name)
        called = body if body in where and body != function.name else f"{function.name}_"
        name = body if called == body else f"{function.name} as {called}"
        if name.split()[0] not in where:
            raise ValueError(f"fastnn.h has {function.name}, but no .pxd of the kernels {name}")
        imports.setdefault(where[name.split()[0]], set()).add(name)
        call = wrapped(f"return {called}", [name for _, name in function.arguments], indent="    ")
        made.append(f"{declaration(function, ':')}\n{call}")
    lines = [
        f"from .{module} cimport {name}"
        for module, names in sorted(imports.items())
        for name in sorted(names)
    ]
    return "\n".join([HEAD, *lines, "", ""]) + "\n" + "\n\n\n".join(made) + "\n"


def write():
    """Write both files if they are out of date."""
    listed = functions()
    declared = "\n".join([HEAD, *map(declaration, listed), ""])
    for name, text in (("api.pyx", definitions(listed)), ("api.pxd", declared)):
        path = KERNELS / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


if __name__ == "__main__":
    write()
