"""Plots of curves and attention maps, with matplotlib (`pip install 'fastnn-cpu[plot]'`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from .figures import (
    confusion_matrix,
    new_figure,
    picture_format,
    positions,
    schedules,
    show_heatmaps,
    show_images,
    write,
)
from .files.atomic import PathLike, check_writable
from .keywords import explained

__all__ = [
    "Curves",
    "attention_maps",
    "check_plot",
    "confusion_matrix",
    "loss_curve",
    "positions",
    "schedules",
    "show_heatmaps",
    "show_images",
]

# Inches of a heat map per token along a side, and the minimum and maximum of a side.
INCHES, SIDES = 0.13, (1.5, 6.0)


@explained
class Curves(Protocol):
    """The data of `loss_curve`, such as a `train.History`: named columns, one value per epoch.

    Examples
    --------
    >>> history = fastnn.train.History(history={"loss": [2.0, 1.0]}, epoch=[0, 1])
    >>> figure = fastnn.plot.loss_curve(history)
    """

    @property
    def epoch(self) -> Sequence[int]:
        """The finished epochs, counted from 0."""

    @property
    def history(self) -> Mapping[str, Sequence[float]]:
        """Columns such as "loss", "val_loss", "accuracy" and "val_accuracy"."""


@explained
def check_plot(path: PathLike) -> None:
    """Raise early the errors that `loss_curve` would raise for this path after a long run.

    Examples
    --------
    >>> fastnn.plot.check_plot("curve.png")
    """
    picture_format(path)
    new_figure()
    check_writable(path)


@explained
def loss_curve(
    history: Curves, path: PathLike | None = None, *, validation_label: str = "validation"
) -> Any:
    """Draw loss and accuracy (if there is one) over the epochs of a training run.

    Parameters
    ----------
    history : History
        Or any object with its `epoch` and `history`; at least one finished epoch.
    path : path-like, optional
        Ending in .png, .svg or .pdf. Written atomically.
    validation_label : str
        Label of the validation curves.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The extension is unknown, or no epoch was finished.
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> history = fastnn.train.History(history={"loss": [2.0, 1.0]}, epoch=[0, 1])
    >>> figure = fastnn.plot.loss_curve(history, "curve.svg")
    >>> Path("curve.svg").exists()
    True
    """
    suffix = None if path is None else picture_format(path)
    if not history.epoch:
        raise ValueError("there is no finished epoch to draw")
    figure = new_figure()
    values = history.history
    panels = [name for name in ("loss", "accuracy") if name in values]
    epochs = [epoch + 1 for epoch in history.epoch]
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        percent = 100 if name == "accuracy" else 1
        for key, label in ((name, "training"), (f"val_{name}", validation_label)):
            if key in values:
                curve = [percent * value for value in values[key]]
                # a single epoch is a point, which a line would not show
                marker = "o" if len(epochs) == 1 else None
                axes.plot(epochs, curve, label=label, marker=marker)
        axes.set(xlabel="epoch", ylabel="accuracy (%)" if name == "accuracy" else "loss")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    write(figure, path, suffix)
    return figure


@explained
def attention_maps(
    weights: Sequence[ArrayLike],
    path: PathLike | None = None,
    *,
    xlabels: Sequence[str] | None = None,
    ylabels: Sequence[str] | None = None,
    titles: tuple[str, str] = ("layer", "head"),
) -> Any:
    """Draw attention weights as heat maps, a row for each layer and a column for each head.

    As the book's `show_heatmaps`: *Dive into Deep Learning*, section 11.1.3.

    Parameters
    ----------
    weights : sequence of array (H, T, S)
        One per layer, for one example: `[layer[0] for layer in found]`, where found is the result
        of `attention_weights`.
    path : path-like, optional
        Ending in .png, .svg or .pdf. Written atomically.
    xlabels, ylabels : sequences of str, optional
        The S keys and the T queries.
    titles : (str, str)
        Titles of rows and columns.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The extension is unknown, there are no weights, or shapes or numbers of labels differ.
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> model = fastnn.models.TransformerLM(10, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> weights = [block[0] for block in model.attention_weights(np.array([[1, 2, 3, 4]]))]
    >>> figure = fastnn.plot.attention_maps(weights, "maps.png", xlabels=list("abcd"))
    """
    suffix = None if path is None else picture_format(path)
    maps = [np.asarray(layer) for layer in weights]
    shapes = {layer.shape for layer in maps}
    if len(shapes) != 1 or len(maps[0].shape) != 3 or 0 in maps[0].shape:
        raise ValueError(f"weights must be arrays (heads, queries, keys) alike, got {shapes}")
    heads, *sides = maps[0].shape
    for name, labels, n in (("ylabels", ylabels, sides[0]), ("xlabels", xlabels, sides[1])):
        if labels is not None and len(labels) != n:
            raise ValueError(f"{len(labels)} {name} do not fit {n} positions")
    figure = new_figure()
    height, width = (min(max(INCHES * n, SIDES[0]), SIDES[1]) for n in sides)
    figure.set_size_inches(heads * width + 1.5, len(maps) * height + 1)
    grid = figure.subplots(len(maps), heads, squeeze=False, sharex=True, sharey=True)
    highest = max(float(layer.max()) for layer in maps)
    for (row, column), axes in np.ndenumerate(grid):
        image = axes.imshow(maps[row][column], cmap="Reds", vmin=0, vmax=highest, aspect="auto")
        axes.tick_params(labelsize=6, length=2)
        if row == 0:
            axes.set_title(f"{titles[1]} {column + 1}", fontsize=8)
        if column == 0:
            axes.set_ylabel(f"{titles[0]} {row + 1}", fontsize=8)
    # labels are plain text: dollar signs do not mark formulas
    if xlabels is not None:
        axes.set_xticks(range(sides[1]), xlabels, parse_math=False)
        for below in grid[-1]:
            below.tick_params(axis="x", rotation=90)
    if ylabels is not None:
        axes.set_yticks(range(sides[0]), ylabels, parse_math=False)
    figure.colorbar(image, ax=grid, shrink=0.6, aspect=30).ax.tick_params(labelsize=6)
    write(figure, path, suffix)
    return figure
