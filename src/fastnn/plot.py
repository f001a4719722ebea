"""Pictures of training runs and of attention, through matplotlib (`pip install 'fastnn[plot]'`)."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .train import History
from .train.atomic import PathLike, check_writable, write_atomically

FORMATS = ("png", "svg", "pdf")

# Inches of one map of attention.
CELL = 2.0


def _new_figure(size: tuple[float, float] = (9, 3.6)) -> Any:
    """A figure of its own: no display is needed, and pyplot's global state is left alone."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plots need matplotlib: pip install 'fastnn[plot]'", name="matplotlib"
        ) from error
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _format(path: PathLike) -> str:
    suffix = Path(os.fspath(path)).suffix[1:].lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"{os.fspath(path)}: the name of a picture must end in .{', .'.join(FORMATS)}"
        )
    return suffix


def check_plot(path: PathLike) -> None:
    """Raise now what `loss_curve` would raise for this path once a long training run is over."""
    _format(path)
    _new_figure()
    check_writable(path)


def loss_curve(
    history: History, path: PathLike | None = None, *, validation_label: str = "validation"
) -> Any:
    """Draw loss and accuracy (if there is one) over the epochs of a training run.

    Parameters
    ----------
    history : History
        With at least one finished epoch.
    path : path-like, optional
        Ending in .png, .svg or .pdf. Written atomically.
    validation_label : str
        What the curves of the validation data are called.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The ending is another one, or no epoch was finished.
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    suffix = None if path is None else _format(path)
    if not history.epoch:
        raise ValueError("there is no finished epoch to draw")
    figure = _new_figure()
    values = history.history
    panels = [name for name in ("loss", "accuracy") if name in values]
    epochs = [epoch + 1 for epoch in history.epoch]
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        percent = 100 if name == "accuracy" else 1
        for key, label in ((name, "training"), (f"val_{name}", validation_label)):
            if key in values:
                curve = [percent * value for value in values[key]]
                # a single epoch is a point, which a line alone would not show
                marker = "o" if len(epochs) == 1 else None
                axes.plot(epochs, curve, label=label, marker=marker)
        axes.set(xlabel="epoch", ylabel="accuracy (%)" if name == "accuracy" else "loss")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    _write(figure, path, suffix)
    return figure


def attention_maps(
    weights: Sequence[NDArray[Any]],
    path: PathLike | None = None,
    *,
    xlabels: Sequence[str] | None = None,
    ylabels: Sequence[str] | None = None,
) -> Any:
    """Draw how much each position attends to each other one: a row of maps per layer, one per head.

    *Dive into Deep Learning*, sections 11.1.3 and 11.7.6.

    Parameters
    ----------
    weights : sequence of ndarray (heads, queries, keys)
        One array for each layer; every row of keys sums to 1.
    path : path-like, optional
        Ending in .png, .svg or .pdf. Written atomically.
    xlabels, ylabels : sequence of str, optional
        The tokens of the keys and of the queries.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The ending is another one, there are no weights, or their shapes differ or do not fit the
        labels.
    ModuleNotFoundError
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    suffix = None if path is None else _format(path)
    shapes = {np.shape(layer) for layer in weights}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 3 or 0 in shape:
        raise ValueError(
            "weights must be arrays (heads, queries, keys) of one shape, one per layer"
        )
    for name, labels, n in (("xlabels", xlabels, shape[2]), ("ylabels", ylabels, shape[1])):
        if labels is not None and len(labels) != n:
            raise ValueError(f"{len(labels)} {name} do not fit weights {shape}")
    n_layers, n_heads = len(weights), shape[0]
    figure = _new_figure((1.2 + CELL * n_heads, 0.6 + CELL * n_layers))
    grid = figure.subplots(n_layers, n_heads, sharex=True, sharey=True, squeeze=False)
    for (i, j), axes in np.ndenumerate(grid):
        image = axes.imshow(weights[i][j], cmap="Reds", vmin=0, aspect="auto")
        if i == 0:
            axes.set_title(f"head {j + 1}", fontsize="small")
        if i == n_layers - 1:
            axes.set_xlabel("keys", fontsize="small")
        if j == 0:
            axes.set_ylabel(f"layer {i + 1}\nqueries", fontsize="small")
        # a label is text as it stands, not mathematics between dollars
        how = {"fontsize": "xx-small", "parse_math": False}
        if xlabels is not None:
            axes.set_xticks(range(shape[2]), xlabels, rotation=90, **how)
        if ylabels is not None:
            axes.set_yticks(range(shape[1]), ylabels, **how)
        figure.colorbar(image, ax=axes).ax.tick_params(labelsize="xx-small")
    _write(figure, path, suffix)
    return figure


def _write(figure: Any, path: PathLike | None, suffix: str | None) -> None:
    if path is not None:
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix)
        write_atomically(path, picture.getvalue())
