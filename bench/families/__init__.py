"""Families of kernels, each with its comparison in one file and a suite of the same name.

A module ``bench/families/NAME.py`` defines three names, and optionally a fourth:

``OPERATIONS``
    ``{kernel: Operation}``, as in ``operations``.
``CASES``
    ``[(kernel, shapes, dtypes), ...]``: the table of the suite NAME.
``PREPARE``
    ``{library: {kernel: function}}``, as ``PREPARE`` in a library module. The functions import
    their library when they are called.
``LIBRARIES``
    The libraries that the suite compares, if not all.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

FAMILIES: dict[str, ModuleType] = {
    name: importlib.import_module(f"{__name__}.{name}")
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__))
}
