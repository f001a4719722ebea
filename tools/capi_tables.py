"""Make what follows from include/fastnn.h: the table in docs/embedding.md and tests/capi/signatures.json.

    python tools/capi_tables.py             write both
    python tools/capi_tables.py --check     say whether they are as they should be

The JSON is the memory of the ABI: functions are added at its end, and none that is there changes or goes. Where the header says otherwise this refuses to
write, and FASTNN_ABI_VERSION has to be raised first: all extensions must then be compiled again.
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
    """The content of the JSON."""
    slots = [[f.name, f.api, f.signature] for f in functions]
    lines = ",\n".join(f"    {json.dumps(slot)}" for slot in slots)
    return f'{{\n  "abi": {abi},\n  "slots": [\n{lines}\n  ]\n}}\n'


def problems(functions, abi, before):
    """What the header does that its ABI number does not allow, as texts; before is the JSON as it is."""
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
    """The table for the page: functions of one contract in one row, f32 standing for f64 too."""
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
    """The page with its table made anew."""
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
