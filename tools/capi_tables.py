"""Generate the list of functions in docs/embedding.md and tests/capi/signatures.json from fastnn.h.

    python tools/capi_tables.py             write both
    python tools/capi_tables.py --check     fail if either is out of date

The JSON records the ABI: functions are added at its end, and existing ones neither change nor
disappear. If the header breaks that rule, nothing is written until FASTNN_ABI_VERSION is raised,
after which all extensions must be compiled again.
"""

import json
import re
import sys
import textwrap
from pathlib import Path

from fastnn import capi

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "embedding.md"
FROZEN = ROOT / "tests" / "capi" / "signatures.json"
BEGIN, END = "<!-- functions: made by tools/capi_tables.py -->", "<!-- end of functions -->"
WIDTH = 100


def frozen(functions, abi):
    """Return the content of the JSON."""
    slots = [[f.name, f.api, f.signature] for f in functions]
    lines = ",\n".join(f"    {json.dumps(slot)}" for slot in slots)
    return f'{{\n  "abi": {abi},\n  "slots": [\n{lines}\n  ]\n}}\n'


def problems(functions, abi, before):
    """Return the changes that the ABI number forbids, as texts; `before` is the current JSON."""
    if abi != before["abi"]:
        return []
    found = []
    for i, (name, api, signature) in enumerate(before["slots"]):
        if i >= len(functions) or functions[i].name != name:
            found.append(f"slot {i} was {name}: slots neither move nor go")
        elif (functions[i].api, functions[i].signature) != (api, signature):
            found.append(f"{name} was {signature} of API {api}")
    latest = max(api for _, api, _ in before["slots"])
    found += [
        f"{f.name} is new, so it needs an API above {latest}"
        for f in functions[len(before["slots"]) :]
        if f.api <= latest
    ]
    return found


def wrapped_prototype(declared):
    """Wrap a prototype at 100 columns, with its arguments aligned after the parenthesis."""
    head, arguments = declared.split("(", 1)
    glued = re.sub(r"(?<!,) ", "\0", arguments)
    lines = textwrap.wrap(glued, WIDTH - len(head) - 1)
    return f"{head}(" + f"\n{' ' * (len(head) + 1)}".join(lines).replace("\0", " ")


def wrapped_text(text):
    """Wrap a contract at 100 columns; no line starts with what Markdown takes for a list."""
    glued = re.sub(r" (?=([-+*=#>]|\d+[.)])( |$))", "\0", text)
    lines = textwrap.wrap(glued, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def section(contract, group):
    """Return the section of the functions that share a contract; f32 stands for f64 too."""
    shown = [f for f in group if not f.name.endswith("_f64")]
    titles = ", ".join(f.name.removesuffix("_f32") for f in shown)
    declared = "\n".join(wrapped_prototype(f.prototype) for f in shown)
    notes = f"Since API {group[0].api}."
    if others := [f"`fastnn_{f.name}`" for f in group if f not in shown]:
        notes += f" {', '.join(others)}: the same in double."
    return f"### {titles}\n\n```c\n{declared}\n```\n\n{wrapped_text(contract)}\n\n{notes}\n"


def markdown(functions):
    """Return the part of the page that lists the functions, one section per contract."""
    groups: dict[str, list] = {}
    for f in functions:
        groups.setdefault(f.contract, []).append(f)
    return "\n".join(section(contract, group) for contract, group in groups.items())


def page(functions, text):
    """Return the page with its list of functions replaced."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n\n{markdown(functions)}\n{END}{rest.split(END)[1]}"


def main():
    functions = list(capi.functions().values())
    before = json.loads(FROZEN.read_text()) if FROZEN.exists() else None
    if before and (wrong := problems(functions, capi.ABI_VERSION, before)):
        sys.exit("\n".join(wrong))
    for path, made in (
        (FROZEN, frozen(functions, capi.ABI_VERSION)),
        (PAGE, page(functions, PAGE.read_text())),
    ):
        if path.exists() and path.read_text() == made:
            continue
        if "--check" in sys.argv:
            sys.exit(f"{path.relative_to(ROOT)} is not what fastnn.h makes of it")
        path.write_text(made)
        print("wrote", path.relative_to(ROOT))


if __name__ == "__main__":
    main()
