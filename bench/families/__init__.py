"""Families of kernels that bring all of their comparison in one file, and a suite of its name.

A module ``bench/families/NAME.py`` has three names, and may have a fourth:

``OPERATIONS``
    ``{kernel: Operation}``, as in ``operations``.
``CASES``
    ``[(kernel, shapes, dtypes), ...]``: the table of the suite NAME.
``PREPARE``
    ``{library: {kernel: function}}``: what a library module has as ``PREPARE``. The functions
    import their library when they are called.
``LIBRARIES``
    Those that the suite compares, where it is not all.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

FAMILIES: dict[str, ModuleType] = {
    name: importlib.import_module(f"{__name__}.{name}")
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__))
}
