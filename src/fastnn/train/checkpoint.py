"""Checkpoints: a training run in one file, from which it goes on bit by bit.

A checkpoint is a model file (files.py) that holds more: the optimizer's state, the state of the
random generators, the history, and where the run was. The arrays among these are called "run/...",
all else is JSON under its own key of the metadata, where {"array": name} stands for an array.
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
    """Where a run was.

    Attributes
    ----------
    epoch : int
        The epoch that was running: so many were finished.
    step : int
        Its batches that were done.
    history : History
    extra : dict
        What `save_checkpoint` was given as `extra`.
    """

    epoch: int = 0
    step: int = 0
    history: History = field(default_factory=History)
    extra: dict[str, Any] = field(default_factory=dict)


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

    `fastnn.load` reads the model in it. The file takes the place of an older one in one step, so a
    kill at any moment leaves the old or the new one.

    Parameters
    ----------
    path : path-like
    model : nn.Module
        Its parameters, and the counters of its random layers.
    optimizer : Optimizer, optional
    epoch, step : int
        The epoch that is running, and its batches that are done.
    rng : numpy.random.Generator or the state of one, optional
        Of the order of the rows; inside an epoch, as it was when the epoch began.
    history : History, optional
    ema : optim.ExponentialMovingAverage, optional
    extra : mapping, optional
        Whatever else is to be kept: numbers, strings, None, arrays, and lists and dicts of them.

    Raises
    ------
    ValueError
        As `save`, or the names of two arrays in `extra`, joined by "/", are the same.
    TypeError
        Something in `extra` is of another type, or a key in it is not a str.
    OSError
        The file cannot be written.
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


def load_checkpoint(
    path: PathLike,
    model: nn.Module,
    optimizer: Optimizer | None = None,
    *,
    rng: np.random.Generator | None = None,
    ema: ExponentialMovingAverage | None = None,
    check: Callable[[Checkpoint], object] | None = None,
) -> Checkpoint:
    """Bring model, optimizer, generator and averages to where a checkpoint has them.

    Parameters
    ----------
    path : path-like
    model : nn.Module
        Of the architecture that was saved.
    optimizer : Optimizer, optional
        Of the class that was saved. None leaves the optimizer's state in the file.
    rng, ema : optional
        As optimizer.
    check : callable, optional
        Called with what will be returned before anything is changed; what it raises ends this.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ModelFileError
        The file is truncated, foreign or at odds with itself, is a model without a run, or is not
        of this model, optimizer, kind of generator or average. Nothing is changed then.
    OSError
        There is no such file, or it cannot be read.
    ModuleNotFoundError
        safetensors is not installed.
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
    """TypeError naming the first part that is neither None nor of its class."""
    for name, part in parts.items():
        kind = _KINDS[name]
        if part is not None and not isinstance(part, kind):
            raise TypeError(f"{name} must be {kind.__name__} or None, got {type(part).__name__}")


def _apply(state: dict[str, Any], model: nn.Module, optimizer: Any, rng: Any, ema: Any) -> None:
    """Hand the parts of the state to their owners; if one refuses, the others are as before.

    The optimizer comes last, since what comes last needs no copy of what was before.
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
    """The value as JSON, its arrays moved to `arrays` under names that begin with `name`."""
    if isinstance(value, np.ndarray):
        if name in arrays:
            raise ValueError(f"two arrays of the checkpoint have the name {name!r}")
        arrays[name] = value
        return {"array": name}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{name}: a checkpoint has str for keys, not {key!r:.80}")
        # in a list of pairs, so that no key of a user's can be taken for {"array": ...}
        return {"dict": [[k, _packed(v, f"{name}/{k}", arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name}: a checkpoint cannot hold {type(value).__name__}")


def _unpacked(value: Any, file: Any) -> Any:
    """The reverse of `_packed`."""
    if isinstance(value, list):
        return [_unpacked(item, file) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"array"}:
            name = value["array"]
            if not isinstance(name, str) or not name.startswith(RUN_PREFIX):
                raise ValueError(f"{name!r:.80} is no array of a run")
            return read_tensor(file, name)
        return {str(key): _unpacked(item, file) for key, item in value["dict"]}
    return value


def _read_run(file: Any) -> dict[str, Any]:
    metadata = file.metadata() or {}
    if RUN_KEY not in metadata:
        raise ValueError("it holds no training run (a model alone, or not written by fastnn)")
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
