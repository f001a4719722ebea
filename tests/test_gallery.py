"""The gallery's examples: each runs as a script, draws one figure whose axes have names."""

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GALLERY = ROOT / "docs" / "gallery"
# Seconds of training: the build of the site runs these too.
SLOW = {"plot_language_model", "plot_dropout", "plot_fashion_mnist", "plot_universal_approximation"}

if not GALLERY.is_dir():
    pytest.skip("needs the sources", allow_module_level=True)
matplotlib = pytest.importorskip("matplotlib")
EXAMPLES = sorted(GALLERY.glob("plot_*.py"))


def named(axes):
    """True if both axes have names, or the axes are part of a grid, a legend or a picture."""
    inner = axes.get_subplotspec() is not None and not axes.get_xlabel() and axes.get_title()
    return not axes.axison or axes.get_label() == "<colorbar>" or axes.get_xlabel() or inner


@pytest.mark.filterwarnings("error")
@pytest.mark.filterwarnings("ignore:.*non-interactive:UserWarning")
@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.stem not in SLOW], ids=lambda p: p.stem)
def test_an_example_draws_one_figure(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")
    try:
        runpy.run_path(str(path), run_name="__main__")
        (number,) = pyplot.get_fignums()
        figure = pyplot.figure(number)
        figure.canvas.draw()
        assert figure.axes and all(map(named, figure.axes))
        assert any(axes.get_ylabel() for axes in figure.axes) or not any(
            axes.axison for axes in figure.axes
        )
    finally:
        pyplot.close("all")
    assert not list(tmp_path.iterdir())  # nothing is written


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_begins_with_a_title_and_the_section(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    title, line, *_ = text.splitlines()
    assert line == "=" * len(title)
    assert re.search(r"\*Dive into Deep\s+Learning\*, (section|chapter)s? \d", text)


def test_the_map_of_the_book_names_every_example_and_no_other():
    text = (ROOT / "docs" / "d2l.md").read_text(encoding="utf-8")
    assert set(re.findall(r"plot_\w+\.py", text)) == {path.name for path in EXAMPLES}


def test_names_in_the_map_exist():
    import fastnn

    text = (ROOT / "docs" / "d2l.md").read_text(encoding="utf-8")
    pattern = r"`((?:fastnn|nn|optim|data|text|models|kernels|plot|train)\.[\w.]+)"
    for name in re.findall(pattern, text):
        found = fastnn
        for part in name.removeprefix("fastnn.").split("."):
            found = getattr(found, part)
