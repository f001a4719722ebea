"""Figures of arrays: heat maps, positional encodings, schedules, confusion matrices and images."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .files.atomic import PathLike, write_atomically
from .keywords import explained

FORMATS = ("png", "svg", "pdf")

# Line styles that can be told apart in grey.
STYLES = ("-", "--", "-.", ":")


def new_figure(size: tuple[float, float] = (9, 3.6)) -> Any:
    """Return a new figure that needs no display and does not touch pyplot's global state."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plots need matplotlib: pip install 'fastnn-cpu[plot]'", name="matplotlib"
        ) from error
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def picture_format(path: PathLike) -> str:
    """Return the extension of a picture; raise ValueError if it is none of FORMATS."""
    suffix = Path(os.fspath(path)).suffix[1:].lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"{os.fspath(path)}: the name of a picture must end in .{', .'.join(FORMATS)}"
        )
    return suffix


def write(figure: Any, path: PathLike | None, suffix: str | None) -> None:
    """Write the figure atomically, if there is a path."""
    if path is not None:
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix)
        write_atomically(path, picture.getvalue())


def _array(function: str, name: str, value: ArrayLike, shape: str, ndim: tuple[int, ...]) -> Any:
    """Return a nonempty array of real numbers with one of these numbers of axes."""
    array: NDArray[Any] = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{function}: {name} must be real numbers, got {array.dtype}")
    if array.ndim not in ndim or 0 in array.shape:
        raise ValueError(f"{function}: {name} must be {shape}, not empty, got {array.shape}")
    return array


def _count(function: str, name: str, labels: Sequence[str] | None, n: int) -> None:
    if labels is not None and len(labels) != n:
        raise ValueError(f"{function}: {name} must be {n} labels, got {len(labels)}")


def _started(figure: Any, path: PathLike | None, size: tuple[float, float]) -> tuple[Any, Any]:
    """Return the figure to draw into and the format of the file."""
    suffix = None if path is None else picture_format(path)
    return (new_figure(size) if figure is None else figure), suffix


@explained
def show_heatmaps(
    matrices: ArrayLike,
    xlabel: str,
    ylabel: str,
    titles: Sequence[str] | None = None,
    figsize: tuple[float, float] = (2.5, 2.5),
    cmap: str = "Reds",
    *,
    vmin: float | None = 0.0,
    vmax: float | None = 1.0,
    figure: Any = None,
    path: PathLike | None = None,
) -> Any:
    """Draw matrices, such as attention weights, as heat maps with one scale.

    *Dive into Deep Learning*, section 11.1.3.

    Parameters
    ----------
    matrices : array (rows, columns, queries, keys)
        A map at each place of a grid. Fewer axes stand for one row, or for one map.
    xlabel, ylabel : str
        Names of the axes, below the last row and beside the first column.
    titles : sequence of str, optional
        One per column.
    figsize : (float, float)
        Width and height in inches.
    cmap : str
        Color map of matplotlib.
    vmin, vmax : float, optional
        Ends of the scale, 0 and 1 as for weights; with None the smallest or largest element.
    figure : matplotlib.figure.Figure, optional
        Empty figure to draw into, such as `plt.figure()`; figsize is then not used.
    path : path-like, optional
        Ending in .png, .svg or .pdf. Written atomically.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        matrices are not real numbers or have the wrong shape, the number of titles differs, or the
        extension is unknown.
    ModuleNotFoundError
        matplotlib is not installed.

    Examples
    --------
    >>> figure = fastnn.plot.show_heatmaps(np.eye(10), xlabel="Keys", ylabel="Queries")
    """
    maps = _array("show_heatmaps", "matrices", matrices, "(rows, columns, n, m)", (2, 3, 4))
    maps = maps.reshape((1,) * (4 - maps.ndim) + maps.shape)
    _count("show_heatmaps", "titles", titles, maps.shape[1])
    figure, suffix = _started(figure, path, figsize)
    ends = {
        "vmin": float(maps.min()) if vmin is None else vmin,
        "vmax": float(maps.max()) if vmax is None else vmax,
    }
    grid = figure.subplots(*maps.shape[:2], sharex=True, sharey=True, squeeze=False)
    for (row, column), axes in np.ndenumerate(grid):
        image = axes.imshow(maps[row, column], cmap=cmap, **ends)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True, nbins=5)
        if row == len(grid) - 1:
            axes.set_xlabel(xlabel)
        if column == 0:
            axes.set_ylabel(ylabel)
        if titles is not None and row == 0:
            axes.set_title(titles[column])
    figure.colorbar(image, ax=grid, shrink=0.6)
    write(figure, path, suffix)
    return figure


@explained
def confusion_matrix(
    counts: ArrayLike,
    labels: Sequence[str] | None = None,
    *,
    figure: Any = None,
    path: PathLike | None = None,
) -> Any:
    """Draw how many examples of each class (rows) were taken for each class (columns).

    The shade is the share of its row; the numbers are the counts. figure, path, result and errors
    are those of `show_heatmaps`.

    Parameters
    ----------
    counts : array (C, C) of integers
    labels : sequence of C str, optional
        Names of the classes, by default 0 to C - 1.

    Examples
    --------
    >>> counts = np.zeros((3, 3), int)
    >>> np.add.at(counts, ([0, 1, 1, 2], [0, 1, 2, 2]), 1)  # labels, predictions
    >>> figure = fastnn.plot.confusion_matrix(counts, labels=["cat", "dog", "fox"])
    """
    table = _array("confusion_matrix", "counts", counts, "(classes, classes)", (2,))
    if table.shape[0] != table.shape[1] or table.dtype.kind == "f" or table.min() < 0:
        raise ValueError(
            "confusion_matrix: counts must be a square matrix of integers of at least 0, got "
            f"{table.dtype} {table.shape}"
        )
    n = len(table)
    _count("confusion_matrix", "labels", labels, n)
    side = max(2.5, 0.42 * n)
    figure, suffix = _started(figure, path, (side + 1, side))
    axes = figure.subplots()
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [str(i) for i in range(n)] if labels is None else labels
    longest = max(map(len, names))
    axes.set_xticks(range(n), names, rotation=90 if longest > 3 else 0, parse_math=False)
    axes.set_yticks(range(n), names, parse_math=False)
    for (row, column), count in np.ndenumerate(table):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)
    axes.set(xlabel="predicted class", ylabel="true class")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the class")
    write(figure, path, suffix)
    return figure


@explained
def positions(
    table: ArrayLike,
    columns: Sequence[int] = (6, 7, 8, 9),
    *,
    figure: Any = None,
    path: PathLike | None = None,
) -> Any:
    """Draw a positional encoding: some of its columns as curves, and the whole as a heat map.

    *Dive into Deep Learning*, section 11.6.3. figure, path, result and errors are those of
    `show_heatmaps`.

    Parameters
    ----------
    table : array (positions, d)
        Such as the output of a `nn.PositionalEncoding` for zeros.
    columns : sequence of int
        Columns drawn as curves; those that the table does not have are left out.

    Examples
    --------
    >>> encoding = nn.PositionalEncoding(32, max_len=60)
    >>> figure = fastnn.plot.positions(encoding(np.zeros((1, 60, 32), np.float32))[0])
    """
    values = _array("positions", "table", table, "(positions, d)", (2,))
    figure, suffix = _started(figure, path, (9, 3.6))
    curves, heat = figure.subplots(1, 2)
    for column, style in zip(columns, cycle(STYLES), strict=False):
        if 0 <= column < values.shape[1]:
            curves.plot(values[:, column], style, label=f"column {column}")
    curves.set(xlabel="position", ylabel="value")
    curves.grid(alpha=0.3)
    curves.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    image = heat.imshow(values, cmap="Greys", aspect="auto")
    heat.set(xlabel="column", ylabel="position")
    figure.colorbar(image, ax=heat, label="value")
    write(figure, path, suffix)
    return figure


@explained
def schedules(
    named: Mapping[str, Callable[[int], float]],
    steps: int,
    *,
    figure: Any = None,
    path: PathLike | None = None,
) -> Any:
    """Draw learning rates over the steps of a run.

    *Dive into Deep Learning*, section 12.11. figure, path, result and errors are those of
    `show_heatmaps`.

    Parameters
    ----------
    named : mapping of str to Schedule
        Label -> schedule.
    steps : int
        Steps are 0 to steps - 1.

    Examples
    --------
    >>> named = {"cosine": optim.schedules.warmup_cosine(0.3, 10, 100)}
    >>> figure = fastnn.plot.schedules(named, 100)
    """
    if not named or steps < 1:
        raise ValueError(
            f"schedules: needs a schedule and steps >= 1, got {len(named)} and {steps}"
        )
    figure, suffix = _started(figure, path, (5.5, 3.6))
    axes = figure.subplots()
    for i, ((label, schedule), style) in enumerate(zip(named.items(), cycle(STYLES), strict=False)):
        rates = [schedule(step) for step in range(steps)]
        marker = None if i < len(STYLES) else "osD^v"[i % 5]
        axes.plot(rates, style, label=label, marker=marker, markevery=max(1, steps // 10))
    axes.set(xlabel="step", ylabel="learning rate")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    write(figure, path, suffix)
    return figure


@explained
def show_images(
    images: ArrayLike,
    num_rows: int,
    num_cols: int,
    titles: Sequence[str] | None = None,
    scale: float = 1.5,
    *,
    figure: Any = None,
    path: PathLike | None = None,
) -> Any:
    """Draw images in a grid, row by row.

    *Dive into Deep Learning*, section 4.2.3. figure, path, result and errors are those of
    `show_heatmaps`.

    Parameters
    ----------
    images : array (n, height, width)
        Grey values, 0 white; n is at most num_rows * num_cols.
    num_rows, num_cols : int
    titles : sequence of n str, optional
    scale : float
        Inches per image.

    Examples
    --------
    >>> x, y = fastnn.data.load_digits()
    >>> titles = [str(label) for label in y[:6]]
    >>> figure = fastnn.plot.show_images(x[:6].reshape(-1, 8, 8), 2, 3, titles=titles)
    """
    pictures = _array("show_images", "images", images, "(n, height, width)", (3,))
    if not (num_rows >= 1 and num_cols >= 1 and len(pictures) <= num_rows * num_cols):
        raise ValueError(
            f"show_images: {len(pictures)} images do not fit {num_rows} rows of {num_cols}"
        )
    _count("show_images", "titles", titles, len(pictures))
    figure, suffix = _started(figure, path, (num_cols * scale, num_rows * scale))
    for i, axes in enumerate(figure.subplots(num_rows, num_cols, squeeze=False).flat):
        axes.set_axis_off()
        if i < len(pictures):
            axes.imshow(pictures[i], cmap="Greys")
            if titles is not None:
                axes.set_title(titles[i], fontsize=9, parse_math=False)
    write(figure, path, suffix)
    return figure
