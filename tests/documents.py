"""The pages that people read, README and docs, and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HAS_SOURCES = (ROOT / "docs" / "index.md").exists()
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks(page):
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


def program(page):
    """The `python` blocks of a page that are run, each on the lines where it stands."""
    text, lines = page.read_text(encoding="utf-8"), []
    for block in BLOCK.finditer(text):
        if block["kind"] == "python" and not block["reason"]:
            lines += [""] * (text.count("\n", 0, block.start("text")) - len(lines))
            lines += block["text"].splitlines()
    return "\n".join(lines) + "\n"
