"""What the README and the pages of docs/ print is run, in order, in one folder for each page.

A ``python`` block shares its names with the blocks before it. A ``console`` block has commands
behind ``$ `` and their output, where ``...`` stands for anything; a ``text`` block after a
``python`` one is what that prints. ``<!-- not run: REASON -->`` before a block leaves it out, and
a page with ``<!-- slow -->`` is run where FASTNN_DOCS is set.
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn
from fastnn.nn import registry

from .documents import HAS_SOURCES, PAGES, ROOT, blocks

RUN = ("python", "console")
if not HAS_SOURCES:
    pytest.skip("needs the sources", allow_module_level=True)


def check_output(given, wanted):
    """Compare what was printed with what the page shows."""
    given, wanted = (re.sub(r"[ \t]+$", "", t, flags=re.MULTILINE) for t in (given, wanted))
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    same = doctest.OutputChecker().check_output(wanted, given, flags)
    assert same, f"printed:\n{given}\non the page:\n{wanted}"


def run_console(text, folder):
    """Run the commands of a block, each with bash, and compare their output."""
    paths = [str(Path(fastnn.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "90"}
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        function = f'fastnn() {{ "{sys.executable}" -m fastnn "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", function + command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if output.strip():
            check_output(done.stdout + done.stderr, output)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path, monkeypatch):
    found = [b for b in blocks(page) if b["kind"] in ("text", *RUN)]
    if not any(b["kind"] in RUN and not b["reason"] for b in found):
        pytest.skip("nothing to run")
    if "<!-- slow -->" in page.read_text(encoding="utf-8") and not os.environ.get("FASTNN_DOCS"):
        pytest.skip("a slow page: run with FASTNN_DOCS=1")
    for needed in ("matplotlib", "rich", "sklearn", "tokenizers"):
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    # Layers that an example registers are known in it alone.
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    names, printed = {"__name__": "__main__"}, ""
    for block in found:
        line = page.read_text(encoding="utf-8").count("\n", 0, block.start("text")) + 1
        if block["kind"] == "text":
            if printed:
                check_output(printed, block["text"])
            printed = ""
        elif block["reason"]:
            continue
        elif block["kind"] == "console":
            run_console(block["text"], tmp_path)
        else:
            code = compile("\n" * (line - 1) + block["text"], str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, names)
            printed = out.getvalue()


def test_links_lead_somewhere():
    """Each relative link of a page is a file, and its anchor a heading of that file."""
    lost = []
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*/*.md")]:
        if "generated" in page.parts or "auto_gallery" in page.parts:
            continue
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(((?!https?:|mailto:)[^)\s]+)\)", text):
            file, _, anchor = target.partition("#")
            there = (page.parent / file).resolve() if file else page
            made = there.is_relative_to(ROOT / "docs" / "generated") or "auto_gallery" in target
            if made:
                continue
            if not there.exists():
                lost.append(f"{page.name}: {target}")
            elif anchor and anchor not in anchors(there):
                lost.append(f"{page.name}: {target}: no such heading")
    assert not lost, "\n".join(lost)


def anchors(page):
    """The anchors that GitHub and MyST give to the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
