"""Models in files: the safetensors format, with the architecture as JSON in its metadata.

Any safetensors reader sees the arrays under the names of `model.state()`. Reading one runs no code
from the file, and takes no memory beyond what the file itself holds.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .. import kernels, nn
from ..nn.config import parameter_shapes
from .atomic import PathLike, write_atomically

# The key of the metadata, and the version of what stands there: {"version": 1, "model": config}.
METADATA_KEY = "fastnn"
FORMAT_VERSION = 1

_DTYPES = {"F32": "float32", "F64": "float64"}


class ModelFileError(ValueError):
    """A file holds no model that can be loaded; the message names the file and says why."""


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "saving and loading models needs safetensors: pip install 'fastnn[files]'",
            name="safetensors",
        ) from error
    return safetensors


def save(model: nn.Module, path: PathLike) -> None:
    """Write a model to a file that `load` reads.

    The file is written beside `path` first and then takes its place in one step, so a failure
    leaves an older file as it was.

    Parameters
    ----------
    model : nn.Module
    path : path-like
        By custom ending in ".safetensors".

    Raises
    ------
    ValueError
        The config of the model does not describe it fully, so it could not be loaded again: a
        module of your own, or a layer shared by two different containers.
    OSError
        The file cannot be written.
    ModuleNotFoundError
        safetensors is not installed.
    """
    safetensors = _safetensors()
    config = model.config()
    found = {name: (p.data.shape, p.data.dtype.name) for name, p in model.parameters().named()}
    if parameter_shapes(config) != found:
        raise ValueError(
            f"the config of this {type(model).__name__} does not describe all its parameters, "
            "so the file could not be loaded again"
        )
    arrays = {name: parameter.data for name, parameter in model.parameters().named()}
    described = json.dumps({"version": FORMAT_VERSION, "model": config})
    content = safetensors.numpy.save(arrays, metadata={METADATA_KEY: described})
    write_atomically(path, content)


def load(path: PathLike) -> nn.Module:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    nn.Module
        Of the class, sizes and dtype that were saved.

    Raises
    ------
    ModelFileError
        The file is truncated, in another format, not by fastnn, or at odds with itself.
    OSError
        There is no such file, or it cannot be read.
    ModuleNotFoundError
        safetensors is not installed.
    """
    safetensors = _safetensors()
    name = os.fspath(path)
    with open(path, "rb"):  # the system's own error for a missing or forbidden file
        pass
    try:
        with safetensors.safe_open(name, framework="numpy") as file:
            return _read_model(file)
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{name} is not a safetensors file, or damaged: {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{name} holds no model for fastnn: {error}") from error


def plan_from_file(path: PathLike, batch_max: int = 1024) -> kernels.Plan:
    """Read a model that `save` wrote, frozen for inference: ``load(path).freeze(batch_max)``.

    Parameters
    ----------
    path : path-like
    batch_max : int
        See `nn.freeze`.

    Raises
    ------
    ModelFileError, OSError, ModuleNotFoundError
        As `load`.
    TypeError, ValueError
        As `nn.freeze`.
    """
    return load(path).freeze(batch_max)


def _read_model(file: Any) -> nn.Module:
    """The model in an open safetensors file; ValueError, TypeError or RecursionError if unfit."""
    config = _read_config(file.metadata() or {})
    expected = parameter_shapes(config)
    found = {}
    for name in file.keys():
        header = file.get_slice(name)
        dtype = header.get_dtype()
        found[name] = (tuple(header.get_shape()), _DTYPES.get(dtype, dtype))
    missing, unexpected = sorted(expected.keys() - found), sorted(found.keys() - expected)
    if missing or unexpected:
        raise ValueError(f"missing arrays {missing!r:.200}, unexpected {unexpected!r:.200}")
    for name in expected:
        if found[name] != expected[name]:
            (shape, dtype), (model_shape, model_dtype) = found[name], expected[name]
            raise ValueError(
                f"{name!r} is {dtype} {shape}, but the model needs {model_dtype} {model_shape}"
            )
    model = nn.build(config)
    model.load_state({name: file.get_tensor(name) for name in expected})
    return model


def _read_config(metadata: dict[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in metadata:
        raise ValueError("its metadata do not describe a model (not written by fastnn)")
    described = json.loads(metadata[METADATA_KEY])
    if not isinstance(described, dict) or described.keys() != {"version", "model"}:
        raise ValueError("its metadata are malformed")
    if described["version"] != FORMAT_VERSION:
        raise ValueError(
            f"it has version {described['version']!r:.20} of the format, "
            f"this fastnn reads version {FORMAT_VERSION}"
        )
    config: dict[str, Any] = described["model"]
    return config
