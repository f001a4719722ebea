"""Show models in notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .module import Module


def html(model: Module) -> str:
    """Return a table of the layers that have parameters of their own."""
    rows = []
    for name, layer in model.modules():
        parts = {id(p) for part in layer.parts().values() for p in part.parameters()}
        own = [(n, p) for n, p in layer.parameters().named() if id(p) not in parts]
        if own:
            shapes = ", ".join(f"{n} {p.data.shape}" for n, p in own)
            size = sum(p.data.size for _, p in own)
            cells = (name, type(layer).__name__, shapes, f"{size:,}")
            rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    head = "".join(f"<th>{cell}</th>" for cell in ("layer", "", "shapes", "parameters"))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    total = f"{type(model).__name__}, {model.parameters().size:,} parameters"
    return f"<p>{escape(total)}</p><table><tr>{head}</tr>{body}</table>"
