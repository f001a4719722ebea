"""Read untrusted JSON, and write JSON that can be read again."""

from __future__ import annotations

import json
from typing import Any

# Python's own limit (1,000 minus the stack depth) raises a RecursionError anywhere, also in code
# that walks over the values. A nested model takes two levels.
MOST_LEVELS = 200


def parse_json(text: str) -> Any:
    """Return the values of a JSON text; raise ValueError if it is damaged or nested too deeply.

    The values have at most MOST_LEVELS levels, so it is safe to walk over them by recursion.
    """
    if not isinstance(text, str):
        raise TypeError(f"JSON must be given as str, got {type(text).__name__}")
    try:
        values = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    _check_levels(values)
    return values


def compose_json(values: Any) -> str:
    """Return JSON text for `parse_json`; raise ValueError if the values are nested too deeply."""
    _check_levels(values)
    return json.dumps(values)


def _check_levels(values: Any) -> None:
    level = [values]
    for _ in range(MOST_LEVELS + 1):
        nested = [item for item in level if isinstance(item, (dict, list, tuple))]
        if not nested:
            return
        level = [x for item in nested for x in (item.values() if isinstance(item, dict) else item)]
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"its JSON is nested more than {MOST_LEVELS} levels deep")
