"""Make the links of README.md absolute, in place, for the page of a release on PyPI.

PyPI shows the README without the files beside it. The address of the repository is written down
once, as `Repository` in [project.urls] of pyproject.toml; links lead to the files of the release's
tag. RELEASING.md says when this is run.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELATIVE = re.compile(r"(\]\(|^\[[^\]]+\]: )(?!https?:|mailto:|#)([^)\s]+)", re.MULTILINE)


def repository(pyproject: str) -> str:
    """Return the address, without a slash at its end."""
    found = re.search(r'^Repository = "(https://.+?)/?"$', pyproject, re.MULTILINE)
    if found is None:
        raise SystemExit(
            'readme: [project.urls] of pyproject.toml has no Repository = "https://..."'
        )
    return found[1]


def absolute(text: str, address: str, tag: str) -> str:
    """Return Markdown with its relative links led to the files of a tag; pictures to raw files."""

    def link(found: re.Match[str]) -> str:
        is_picture = found[2].endswith((".png", ".svg"))
        return f"{found[1]}{address}/{'raw' if is_picture else 'blob'}/{tag}/{found[2]}"

    return RELATIVE.sub(link, text)


def main() -> None:
    address = repository((ROOT / "pyproject.toml").read_text("utf-8"))
    version = re.search(r'"(.+)"', (ROOT / "src/fastnn/_version.py").read_text("utf-8"))
    assert version is not None
    page = ROOT / "README.md"
    page.write_text(absolute(page.read_text("utf-8"), address, f"v{version[1]}"), "utf-8")


if __name__ == "__main__":
    main()
