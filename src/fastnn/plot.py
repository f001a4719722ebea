"""Pictures of training runs, through matplotlib (`pip install 'fastnn[plot]'`)."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from .train import History
from .train.atomic import PathLike, check_writable, write_atomically

FORMATS = ("png", "svg", "pdf")


def _new_figure() -> Any:
    """A figure of its own: no display is needed, and pyplot's global state is left alone."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plots need matplotlib: pip install 'fastnn[plot]'", name="matplotlib"
        ) from error
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
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
    if path is not None:
        picture = io.BytesIO()
        figure.savefig(picture, format=suffix)
        write_atomically(path, picture.getvalue())
    return figure
