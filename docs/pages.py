"""Pages of the site that are made from something else.

The reference of the Python API comes from the package, that of the command line from `--help`, and
the change log, the contributor's guide and the benchmarks from the files beside docs/.
"""

from __future__ import annotations

import argparse
import inspect
import os
import re
from pathlib import Path

import public

ROOT = Path(__file__).parents[1]
COPIED = {
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "security": "SECURITY.md",
    "benchmarks": "bench/README.md",
}
LINK = re.compile(r"\[(?P<text>[^\]\[]+)\]\((?P<to>(?!https?:|mailto:|#)[^)\s]+)\)")
DEFINITION = re.compile(r"^\[(?P<text>[^\]]+)\]: (?P<to>(?!https?:)\S+)$", re.MULTILINE)


def keep_links(source: list[str]) -> None:
    """Replace links to files outside docs/ by their text, in place."""
    for found in DEFINITION.finditer(source[0]):
        text = re.escape(found["text"])
        source[0] = re.sub(rf"\[{text}\](\[\])?(?!:|\()", lambda _, t=found["text"]: t, source[0])
    source[0] = DEFINITION.sub("", source[0])
    source[0] = LINK.sub(lambda m: m[0] if is_page(m["to"]) else m["text"], source[0])


def is_page(target: str) -> bool:
    """True if a link of a page in docs/ or one of its folders stays within docs/."""
    return not re.match(r"(\.\./)+(src|bench|examples|tools|tests|[A-Z]+\.md)", target)


def copied(path: Path) -> str:
    """Return a Markdown file from outside docs/ with its links seen from docs/generated."""

    def seen(target: str) -> str | None:
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve()
        for page, other in COPIED.items():
            if there == ROOT / other:
                return f"{page}.md" + (anchor and f"#{anchor}")
        if there.is_relative_to(ROOT / "docs") and there.exists():
            relative = os.path.relpath(there, ROOT / "docs" / "generated")
            return relative + (anchor and f"#{anchor}")
        return None

    text = path.read_text(encoding="utf-8")
    for found in DEFINITION.finditer(text):
        to = seen(found["to"])
        new = f"[{found['text']}]({to})" if to else found["text"]
        text = re.sub(rf"\[{re.escape(found['text'])}\](?!:|\()", lambda _, new=new: new, text)
    text = DEFINITION.sub("", text)

    def link(m: re.Match[str]) -> str:
        to = seen(m["to"])
        return f"[{m['text']}]({to})" if to else m["text"]

    return LINK.sub(link, text)


def title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"


def reference() -> dict[str, str]:
    """Return a page for each public module, and one that lists them."""
    found = {}
    for module, own in public.modules().items():
        text = title(module) + f".. currentmodule:: {module}\n\n"
        text += first_paragraph(module)
        text += "\n\n.. autosummary::\n   :toctree: api\n   :nosignatures:\n\n"
        found[module] = text + "".join(f"   {name}\n" for name in sorted(own))
    index = (
        title("Python API")
        + "Everything public, by module; each entry has an example, which begins with\n\n"
    )
    index += ".. code-block:: python\n\n   import numpy as np\n   import fastnn\n"
    index += "   from fastnn import nn, optim\n\n"
    index += ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {module}\n" for module in found)
    return {"reference": index, **found}


def first_paragraph(module: str) -> str:
    import importlib

    doc = inspect.getdoc(importlib.import_module(module)) or ""
    return doc.split("\n\n")[0]


def command_line() -> str:
    """Return the page of the command line, from the parsers themselves."""
    os.environ["COLUMNS"] = "90"
    from fastnn.cli.options import make_parser

    text = title("Command line") + "What ``--help`` prints for each command.\n\n"
    for parser in parsers(make_parser()):
        text += title(parser.prog, "-") + ".. code-block:: text\n\n"
        text += "".join(f"   {line}".rstrip() + "\n" for line in parser.format_help().splitlines())
        text += "\n"
    return text


def families() -> str:
    """Return the page of pretrained families, from the modules that read them."""
    from fastnn.models.families import FAMILIES

    text = title("Families of pretrained models")
    text += "What ``fastnn.models.load`` reads, by the ``model_type`` of a folder's config.json.\n"
    text += "A switch that is listed must have one of its values, the first if it is missing;\n"
    text += "any other is an error that names it.\n\n"
    text += ".. list-table::\n   :header-rows: 1\n\n   * - model_type\n     - what it is\n"
    text += "     - switches\n"
    for kind, family in sorted(FAMILIES.items()):
        about = (inspect.getdoc(family) or "").split("\n\n")[0].replace("\n", " ")
        switches = (
            f"``{key}``: {', '.join(f'``{value!r}``' for value in values)}"
            for key, values in family.SWITCHES.items()
        )
        text += f"   * - ``{kind}``\n     - {about}\n     - {'; '.join(switches) or 'none'}\n"
    return text


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return a parser and those of its commands, each once."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in dict.fromkeys(action.choices.values()):
                found += parsers(inner)
    return found


def write(folder: Path) -> None:
    """Write the pages, leaving files alone that are as they should be."""
    made = {f"{name}.md": copied(ROOT / path) for name, path in COPIED.items()}
    made |= {f"{name}.rst": text for name, text in reference().items()}
    made["command-line.rst"] = command_line()
    made["families.rst"] = families()
    folder.mkdir(exist_ok=True)
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
