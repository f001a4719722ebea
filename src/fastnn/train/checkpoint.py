"""Checkpoints: a training run in one file, which can be resumed with bit-identical results.

A checkpoint is a model file (see `files`) that also holds the state of the optimizer and the random
generators, the history, and the position of the run. Arrays among these are named "run/...";
everything else is JSON under its own metadata key, where {"array": name} stands for an array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..checks import check_count
from ..files.atomic import PathLike
from ..files.model import (
    METADATA_KEY,
    RUN_KEY,
    RUN_PREFIX,
    check_same_config,
    describe,
    parameter_arrays,
    parameter_expected,
    parameter_headers,
    read_parameters,
)
from ..files.tensors import check_headers, open_tensors, read_tensor, write_tensors
from ..json_text import compose_json, parse_json
from ..keywords import explained
from ..optim import ExponentialMovingAverage, Optimizer
from .arguments import check_model, check_path, check_signature
from .history import History

RUN_VERSION = 1
_FIELDS = {"optimizer", "ema", "random", "rng", "history", "extra"}


_KINDS: dict[str, type[Any]] = {
    "optimizer": Optimizer,
    "ema": ExponentialMovingAverage,
    "rng": np.random.Generator,
    "history": History,
    "extra": Mapping,
}


@dataclass
class Checkpoint:
    """The position of a run.

    Attributes
    ----------
    epoch : int
        The current epoch, which is also the number of finished epochs.
    step : int
        Number of its batches that are done.
    history : History
    extra : dict
        The `extra` of `save_checkpoint`.

    Examples
    --------
    >>> model = nn.MLP((3, 2), rng=0)
    >>> fastnn.train.save_checkpoint("run.safetensors", model, epoch=3)
    >>> fastnn.train.load_checkpoint("run.safetensors", model).epoch
    3
    """

    epoch: int = 0
    step: int = 0
    history: History = field(default_factory=History)
    extra: dict[str, Any] = field(default_factory=dict)


@explained
def save_checkpoint(
    path: PathLike,
    model: nn.Module,
    optimizer: Optimizer | None = None,
    *,
    epoch: int = 0,
    step: int = 0,
    rng: np.random.Generator | Mapping[str, Any] | None = None,
    history: History | None = None,
    ema: ExponentialMovingAverage | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a training run to a file that `load_checkpoint` and `fit(..., resume=path)` read.

    `fastnn.load` reads the model in it. The file replaces an existing one atomically, so a kill at
    any time leaves the old or the new one.

    Parameters
    ----------
    path : path-like
    model : nn.Module
        Its parameters and the state of its random streams are saved.
    optimizer : Optimizer, optional
    epoch, step : int
        The current epoch, and the number of its batches that are done.
    rng : numpy.random.Generator or the state of one, optional
        Generator of the order of the rows; within an epoch, its state at the start of the epoch.
    history : History, optional
    ema : optim.ExponentialMovingAverage, optional
    extra : mapping, optional
        Anything else to save: numbers, strings, None, arrays, and lists and dicts of them.

    Raises
    ------
    ValueError
        As in `save`, or two arrays in `extra` have the same name when joined by "/".
    TypeError
        A value in `extra` has another type, or a key in it is not a str.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> model = nn.MLP((3, 2), rng=0)
    >>> fastnn.train.save_checkpoint("run.safetensors", model, extra={"note": "before lunch"})
    >>> fastnn.train.load_checkpoint("run.safetensors", model).extra
    {'note': 'before lunch'}
    """
    check_path("path", path)
    check_model(model)
    _check_kinds(optimizer=optimizer, ema=ema, history=history, extra=extra)
    if not isinstance(rng, Mapping):
        _check_kinds(rng=rng)
    epoch, step = check_count("epoch", epoch, 0), check_count("step", step, 0)
    history = history or History()
    state = {
        "optimizer": None if optimizer is None else optimizer.state_dict(copy=False),
        "ema": None if ema is None else ema.state_dict(copy=False),
        "random": model.random_state(),
        "rng": rng.bit_generator.state if isinstance(rng, np.random.Generator) else rng,
        "history": {"epoch": history.epoch, "history": history.history},
        "extra": dict(extra or {}),
    }
    arrays: dict[str, NDArray[Any]] = {}
    run = {"version": RUN_VERSION, "epoch": epoch, "step": step}
    run["state"] = _packed(state, RUN_PREFIX.rstrip("/"), arrays)
    metadata = {METADATA_KEY: describe(model), RUN_KEY: compose_json(run)}
    write_tensors(path, parameter_arrays(model) | arrays, metadata)


@explained
def load_checkpoint(
    path: PathLike,
    model: nn.Module,
    optimizer: Optimizer | None = None,
    *,
    rng: np.random.Generator | None = None,
    ema: ExponentialMovingAverage | None = None,
    check: Callable[[Checkpoint], object] | None = None,
) -> Checkpoint:
    """Restore model, optimizer, generator and averages from a checkpoint.

    Parameters
    ----------
    path : path-like
    model : nn.Module
        With the saved architecture.
    optimizer : Optimizer, optional
        Of the saved class. With None the optimizer's state in the file is ignored.
    rng, ema : optional
        As optimizer.
    check : callable, optional
        Called with the result before anything is changed; an exception in it aborts the call.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ModelFileError
        The file is truncated, in another format or inconsistent, is a model without a run, or does
        not match this model, optimizer, generator or average; nothing is changed.
    OSError
        The file does not exist or cannot be read.
    ModuleNotFoundError
        safetensors is not installed.

    Examples
    --------
    >>> model = nn.MLP((3, 2), rng=0)
    >>> optimizer = optim.Adam(model.parameters())
    >>> fastnn.train.save_checkpoint("run.safetensors", model, optimizer, epoch=3, step=120)
    >>> found = fastnn.train.load_checkpoint("run.safetensors", model, optimizer)
    >>> found.epoch, found.step
    (3, 120)
    """
    check_path("path", path)
    check_model(model)
    _check_kinds(optimizer=optimizer, ema=ema, rng=rng)
    if check is not None:
        check_signature("check", check, None)
    with open_tensors(path) as file:
        run = _read_run(file)
        check_headers(parameter_headers(file), parameter_expected(model))
        check_same_config(file.metadata(), model)
        state = _unpacked(run["state"], file)
        if state.keys() != _FIELDS or not isinstance(state["extra"], dict):
            raise ValueError("its description of the run is malformed")
        found = Checkpoint(run["epoch"], run["step"], _history(state["history"]), state["extra"])
        if check is not None:
            check(found)
        _apply(state, model, optimizer, rng, ema)
        read_parameters(file, model)
    return found


def _check_kinds(**parts: Any) -> None:
    """Raise a TypeError that names the first part that is neither None nor of its class."""
    for name, part in parts.items():
        kind = _KINDS[name]
        if part is not None and not isinstance(part, kind):
            raise TypeError(f"{name} must be {kind.__name__} or None, got {type(part).__name__}")


def _apply(state: dict[str, Any], model: nn.Module, optimizer: Any, rng: Any, ema: Any) -> None:
    """Load the parts of the state into their owners; if one fails, restore the others.

    The optimizer comes last, since the last part needs no backup copy.
    """
    owners = {
        "random": (model.random_state, model.load_random_state),
        "rng": rng and (lambda: rng.bit_generator.state, partial(_set_state, rng)),
        "ema": ema and (ema.state_dict, ema.load_state_dict),
        "optimizer": optimizer and (None, optimizer.load_state_dict),
    }
    undo = []
    try:
        for name, owner in owners.items():
            if owner is None:
                continue
            if state[name] is None:
                raise ValueError(f"it was saved without {name}")
            before, load = owner
            if before is not None:
                undo.append(partial(load, before()))
            load(state[name])
    except Exception:
        for restore in undo:
            restore()
        raise


def _set_state(rng: np.random.Generator, state: Any) -> None:
    rng.bit_generator.state = state


def _packed(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return the value as JSON; move its arrays to `arrays` under names that begin with `name`."""
    if isinstance(value, np.ndarray):
        if name in arrays:
            raise ValueError(f"two arrays of the checkpoint have the name {name!r}")
        arrays[name] = value
        return {"array": name}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{name}: a checkpoint has str for keys, not {key!r:.80}")
        # as a list of pairs, so that no user key can be confused with {"array": ...}
        return {"dict": [[k, _packed(v, f"{name}/{k}", arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name}: a checkpoint cannot hold {type(value).__name__}")


def _unpacked(value: Any, file: Any) -> Any:
    """Invert `_packed`."""
    if isinstance(value, list):
        return [_unpacked(item, file) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            name = value["array"]
            if not isinstance(name, str) or not name.startswith(RUN_PREFIX):
                raise ValueError(f"{name!r:.80} is not an array of a run")
            return read_tensor(file, name)
        return {str(key): _unpacked(item, file) for key, item in value["dict"]}
    return value


def _read_run(file: Any) -> dict[str, Any]:
    metadata = file.metadata() or {}
    if RUN_KEY not in metadata:
        raise ValueError(
            "it does not hold a training run (it is a model, or was not written by fastnn)"
        )
    run = parse_json(metadata[RUN_KEY])
    if not isinstance(run, dict) or run.keys() != {"version", "epoch", "step", "state"}:
        raise ValueError("its description of the run is malformed")
    if run["version"] != RUN_VERSION:
        raise ValueError(
            f"its run has version {run['version']!r:.20}, this fastnn reads version {RUN_VERSION}"
        )
    for name in ("epoch", "step"):
        if type(run[name]) is not int or run[name] < 0:
            raise ValueError(f"its {name} is {run[name]!r:.40}")
    return run


def _history(value: Any) -> History:
    epochs, columns = value["epoch"], value["history"]
    if not isinstance(epochs, list) or not all(type(epoch) is int for epoch in epochs):
        raise ValueError("its history has malformed epochs")
    for name, column in columns.items():
        numbers = isinstance(column, list) and all(type(v) in (int, float) for v in column)
        if not numbers or len(column) != len(epochs):
            raise ValueError(f"its history has a malformed column {name!r:.40}")
    return History(columns, epochs)
