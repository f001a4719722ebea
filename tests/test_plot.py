"""Figures of arrays: what is drawn, files, and the errors."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim, plot

pytest.importorskip("matplotlib")


def test_heat_maps_have_one_scale_integer_ticks_and_names_of_axes(rng):
    maps = rng.random((2, 3, 4, 5))
    figure = plot.show_heatmaps(maps, "Keys", "Queries", titles=["a", "b", "c"], figsize=(6, 4))
    grid = np.array(figure.axes[:6]).reshape(2, 3)
    for (row, column), axes in np.ndenumerate(grid):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), maps[row, column])
        assert image.get_clim() == (0, 1)
        ticks = np.concatenate([axes.get_xticks(), axes.get_yticks()])
        np.testing.assert_array_equal(ticks, np.round(ticks))
    assert [axes.get_xlabel() for axes in grid.flat] == [""] * 3 + ["Keys"] * 3
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["Queries"] * 2
    assert [axes.get_title() for axes in grid[0]] == ["a", "b", "c"]
    assert tuple(figure.get_size_inches()) == (6, 4)


def test_the_scale_can_be_that_of_the_matrices():
    figure = plot.show_heatmaps(np.array([[-2.0, 3.0]]), "x", "y", vmin=None, vmax=None)
    assert figure.axes[0].images[0].get_clim() == (-2, 3)


def test_confusion_matrix_has_counts_and_shares():
    figure = plot.confusion_matrix([[3, 1], [0, 0]], labels=["cat", "dog"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["3", "1"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


def test_positions_and_schedules_draw_their_values():
    table = nn.PositionalEncoding(8, max_len=20)(np.zeros((1, 20, 8), np.float32))[0]
    curves, heat = plot.positions(table, columns=(6, 7, 99)).axes[:2]
    assert [line.get_label() for line in curves.lines] == ["column 6", "column 7"]
    np.testing.assert_array_equal(curves.lines[1].get_ydata(), table[:, 7])
    np.testing.assert_array_equal(heat.images[0].get_array(), table)
    step = optim.schedules.step_decay(0.4, every=2, factor=0.5)
    (line,) = plot.schedules({"halved": step}, 5).axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [step(i) for i in range(5)])


def test_images_fill_the_grid_from_the_first():
    x, y = fastnn.data.load_digits()
    images = x[:3].reshape(-1, 8, 8)
    figure = plot.show_images(images, 2, 2, titles=list(map(str, y[:3])))
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0]
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), images[2])
    assert figure.axes[1].get_title() == str(y[1])


DRAW = {
    "show_heatmaps": lambda **how: plot.show_heatmaps(np.eye(3), "x", "y", **how),
    "confusion_matrix": lambda **how: plot.confusion_matrix(np.eye(3, dtype=int), **how),
    "positions": lambda **how: plot.positions(np.eye(12), **how),
    "schedules": lambda **how: plot.schedules({"a": lambda step: 0.1}, 3, **how),
    "show_images": lambda **how: plot.show_images(np.ones((1, 2, 2)), 1, 1, **how),
}


@pytest.mark.parametrize("name", DRAW)
def test_every_figure_is_written_or_drawn_into_one_that_exists(name, tmp_path):
    from matplotlib.figure import Figure

    given = Figure()
    assert DRAW[name](figure=given, path=tmp_path / "a.png") is given
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a\.gif: the name of a picture must end in"):
        DRAW[name](path=tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot.show_heatmaps([1.0], "x", "y"), ValueError, r"matrices must be .*got \(1,\)"),
        (lambda: plot.show_heatmaps([["a"]], "x", "y"), TypeError, "must be real numbers, got <U1"),
        (lambda: plot.show_heatmaps(np.eye(2), "x", "y", ["a", "b"]), ValueError, "titles must be"),
        (lambda: plot.confusion_matrix(np.eye(2)), ValueError, "square matrix of integers"),
        (lambda: plot.confusion_matrix([[1, 2]]), ValueError, r"got int64 \(1, 2\)"),
        (lambda: plot.confusion_matrix([[1]], labels=[]), ValueError, "labels must be 1 labels"),
        (lambda: plot.positions(np.ones((0, 3))), ValueError, "table must be"),
        (lambda: plot.schedules({}, 3), ValueError, "needs a schedule"),
        (lambda: plot.show_images(np.ones((5, 2, 2)), 2, 2), ValueError, "5 images do not fit 2"),
    ],
)
def test_errors_say_what_was_given(call, error, message):
    with pytest.raises(error, match=message):
        call()
