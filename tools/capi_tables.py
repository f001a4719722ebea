"""Generate the table in docs/embedding.md and tests/capi/signatures.json from include/fastnn.h.

    python tools/capi_tables.py             write both
    python tools/capi_tables.py --check     check that both are up to date

The JSON records the ABI: functions are appended, and none is changed or removed. If the header
breaks this rule, the tool refuses to write until FASTNN_ABI_VERSION is raised; all extensions must
then be recompiled.
"""

import json
import sys
from pathlib import Path

from fastnn import capi

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "embedding.md"
FROZEN = ROOT / "tests" / "capi" / "signatures.json"
BEGIN, END = "<!-- functions: made by tools/capi_tables.py -->", "<!-- end of functions -->"


def frozen(functions, abi):
    """Return the content of the JSON."""
    slots = [[f.name, f.api, f.signature] for f in functions]
    lines = ",\n".join(f"    {json.dumps(slot)}" for slot in slots)
    return f'{{\n  "abi": {abi},\n  "slots": [\n{lines}\n  ]\n}}\n'


def problems(functions, abi, before):
    """Return the header's violations of its ABI number as texts; `before` is the current JSON."""
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


def markdown(functions):
    """Return the table: functions of one contract in one row, f32 also standing for f64."""
    rows: dict[str, list] = {}
    for f in functions:
        rows.setdefault(f.contract, []).append(f)
    lines = ["| functions | contract | since API |", "| --- | --- | --- |"]
    for contract, group in rows.items():
        shown = [f for f in group if not f.name.endswith("_f64")]
        declared = "<br>".join(f"`{f.prototype}`" for f in shown)
        others = [f"`{f.name}`" for f in group if f not in shown]
        declared += f"<br>and {', '.join(others)}" if others else ""
        lines.append(f"| {declared} | {contract.replace('|', chr(92) + '|')} | {group[0].api} |")
    return "\n".join(lines)


def page(functions, text):
    """Return the page with the table replaced."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{markdown(functions)}\n{END}{rest.split(END)[1]}"


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
