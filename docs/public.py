"""Every public callable of fastnn, by the name under which a user finds it."""

from __future__ import annotations

import types
import typing
from typing import Any

import fastnn


def names(module: types.ModuleType) -> list[str]:
    """The public names of a module: its ``__all__``, else what it defines itself."""
    defined = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return list(getattr(module, "__all__", defined))


def is_documented(thing: Any) -> bool:
    """True for functions and classes; an alias of a type is described by its module."""
    return callable(thing) and not typing.get_origin(thing)


def modules() -> dict[str, dict[str, Any]]:
    """Module -> name -> callable. A callable belongs to the first module that has it."""
    found: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()

    def walk(module: types.ModuleType) -> None:
        if module.__name__ in found:
            return
        own = found[module.__name__] = {}
        inner = []
        for name in names(module):
            thing = getattr(module, name)
            if isinstance(thing, types.ModuleType):
                inner.append(thing)
            elif is_documented(thing) and id(thing) not in seen:
                seen.add(id(thing))
                own[name] = thing
        for module in inner:
            walk(module)

    walk(fastnn)
    return {name: own for name, own in found.items() if own}


def callables() -> dict[str, Any]:
    """Every public callable by its full name."""
    return {
        f"{module}.{name}": thing
        for module, own in modules().items()
        for name, thing in own.items()
    }
