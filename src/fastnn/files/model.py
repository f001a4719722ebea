"""Model files: the safetensors format, with the architecture as JSON in its metadata.

Any safetensors reader sees the arrays under the names of `model.state()`. Reading a file runs no
code from it and allocates no more memory than the file holds, or four times that where weights have
8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .. import kernels, nn
from .._version import __version__
from ..checks import check_choice, given
from ..json_text import compose_json, parse_json
from ..keywords import explained
from ..nn.blank import undrawn
from ..nn.registry import current, described
from .atomic import PathLike
from .formats import FORMATS, decode, encoded, expected_headers
from .tensors import ModelFileError as ModelFileError
from .tensors import check_headers, headers, open_tensors, read_tensor, write_tensors

# The metadata key, and the version of its value:
# {"version": 1, "fastnn": the version that wrote it, "model": config}. Version 2 has "weights", the
# format of matrices (formats.py); files of float32 are written in version 1, for older readers.
METADATA_KEY = "fastnn"
FORMAT_VERSION, LOW_VERSION = 1, 2
# A file may also hold a training run (train/checkpoint.py): metadata key and prefix of its arrays.
_KEYS = {"version", "fastnn", "model", "weights"}
RUN_KEY = "fastnn.run"
RUN_PREFIX = "run/"


@explained
def save(
    model: nn.Module,
    path: PathLike,
    *,
    metadata: Mapping[str, str] | None = None,
    weights: str | None = None,
) -> None:
    """Write a model to a file that `load` reads.

    The file is written next to `path` and then replaces it in one step, so a failure leaves an
    existing file unchanged.

    Parameters
    ----------
    model : nn.Module
    path : path-like
        Usually ends in ".safetensors".
    metadata : mapping of str to str, optional
        Additional metadata, under keys other than "fastnn" and "fastnn.run"; see `load_metadata`.
    weights : str, optional
        "bf16", "int8" or "int8_g32" rounds all matrices of a model of float32, for a file of half
        or a quarter of the size: see docs/low-precision.md.

    Raises
    ------
    ValueError
        The model could not be loaded again, since its config does not describe it completely: it
        has an unregistered module, or a layer shared by two containers. Or a metadata key is
        reserved, or `weights` is unknown.
    TypeError
        `model` is not an nn.Module, a key or a value of the metadata is not a str, or `weights` are
        asked of float64.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> model, x = nn.MLP((3, 4, 2), rng=0), np.ones((5, 3), np.float32)
    >>> fastnn.save(model, "model.safetensors")
    >>> np.array_equal(fastnn.load("model.safetensors")(x), model(x))
    True
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"save: model must be an nn.Module, got {given(model)}")
    extra = dict(metadata or {})
    for key, value in extra.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata are str under str keys, not {key!r:.80}: {value!r:.80}")
        if key in (METADATA_KEY, RUN_KEY):
            raise ValueError(f"the key {key!r} of the metadata is taken by fastnn")
    check_choice("weights", weights, (None, *FORMATS))
    arrays = parameter_arrays(model) if weights is None else encoded(model, weights)
    write_tensors(path, arrays, {METADATA_KEY: describe(model, weights), **extra})


@explained
def load(path: PathLike) -> nn.Module:
    """Read a model that `save` or `ModelCheckpoint` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    nn.Module
        With the saved class, sizes and dtype. Weights of 16 or 8 bits become float32.

    Raises
    ------
    ModelFileError
        The file is truncated, in another format, not written by fastnn, or inconsistent.
    OSError
        The file does not exist or cannot be read.
    ModuleNotFoundError
        safetensors is not installed.

    Examples
    --------
    >>> fastnn.save(nn.MLP((3, 4, 2), rng=0), "model.safetensors")
    >>> fastnn.load("model.safetensors").sizes
    (3, 4, 2)
    """
    return load_with_format(path)[0]


@explained
def plan_from_file(
    path: PathLike, batch_max: int = 1024, *, weights: str | None = None
) -> kernels.Plan:
    """Load a model and freeze it for inference: ``load(path).freeze(batch_max)``.

    Parameters
    ----------
    path : path-like
    batch_max : int
    weights : str, optional
        See `nn.freeze`; by default the format that the file has.

    Raises
    ------
    ModelFileError, OSError, ModuleNotFoundError
        As in `load`.
    TypeError, ValueError
        As in `nn.freeze`.

    Examples
    --------
    >>> fastnn.save(nn.MLP((3, 4, 2), rng=0), "model.safetensors")
    >>> plan = fastnn.plan_from_file("model.safetensors", batch_max=64)
    >>> plan(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """
    model, stored = load_with_format(path)
    return model.freeze(batch_max, weights=stored if weights is None else weights)


@explained
def load_metadata(path: PathLike) -> dict[str, str]:
    """Return all metadata of a file: those passed to `save`, and the architecture.

    Raises
    ------
    ModelFileError
        The file is truncated, or in another format.
    OSError, ModuleNotFoundError
        As in `load`.

    Examples
    --------
    >>> fastnn.save(nn.MLP((3, 2), rng=0), "model.safetensors", metadata={"classes": "cat,dog"})
    >>> fastnn.files.load_metadata("model.safetensors")["classes"]
    'cat,dog'
    """
    with open_tensors(path) as file:
        return dict(file.metadata() or {})


def load_with_format(path: PathLike) -> tuple[nn.Module, str | None]:
    """Return the model of a file, and the format of its matrices; None for float32 and float64."""
    with open_tensors(path) as file:
        config, writer, weights = _read_config(file.metadata() or {})
        try:
            expected = nn.parameter_shapes(config)
        except ValueError as error:
            raise ValueError(
                f"{error} (written by fastnn {writer}, read by {__version__})"
            ) from error
        found = parameter_headers(file)
        if weights is not None:
            expected = expected_headers(expected, found, weights)
        check_headers(found, expected)
        model = nn.build(config)
        if weights is None:
            read_parameters(file, model)
        else:
            decode(path, model)
        return model, weights


def format_of(path: PathLike) -> str | None:
    """Return the format of the matrices of a model file; None for float32 and float64."""
    with open_tensors(path) as file:
        return _read_config(file.metadata() or {})[2]


def describe(model: nn.Module, weights: str | None = None) -> str:
    """Return the metadata from which `load` builds the model; raise ValueError if it could not."""
    version: dict[str, Any] = {"version": FORMAT_VERSION}
    if weights is not None:
        version = {"version": LOW_VERSION, "weights": weights}
    return compose_json({**version, "fastnn": __version__, "model": described(model)})


def check_same_config(metadata: dict[str, str], model: nn.Module) -> None:
    """Raise a ValueError that names the first field in which a file and a model differ."""
    before = current(_read_config(metadata)[0])
    # Layers resolve defaults (head_dim=None); a config of more weights differs in another field.
    with suppress(ValueError), undrawn(model.parameters().size):
        before = parse_json(compose_json(nn.build(before).config()))
    difference = _difference(before, parse_json(compose_json(model.config())), "")
    if difference:
        name, before, now = difference
        raise ValueError(
            f"it holds a model with {name} = {before!r:.80}, and this one has {now!r:.80}"
        )


def _difference(a: Any, b: Any, name: str) -> tuple[str, Any, Any] | None:
    """Return the dotted name and the values of the first common field that differs."""
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        a, b = ({str(i): item for i, item in enumerate(items)} for items in (a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [key for key in a if key in b]:
            if found := _difference(a[key], b[key], f"{name}.{key}" if name else key):
                return found
        return None
    return None if a == b else (name, a, b)


def parameter_arrays(model: nn.Module) -> dict[str, Any]:
    """Return name -> values of every parameter, as views."""
    return {name: parameter.data for name, parameter in model.parameters().named()}


def parameter_expected(model: nn.Module) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return name -> (shape, dtype) of every parameter."""
    arrays = parameter_arrays(model)
    return {name: (array.shape, array.dtype.name) for name, array in arrays.items()}


def parameter_headers(file: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return name -> (shape, dtype) of the model's arrays in a file."""
    return {name: h for name, h in headers(file).items() if not name.startswith(RUN_PREFIX)}


def read_parameters(file: Any, model: nn.Module) -> None:
    """Copy the arrays of a checked file into the model, one at a time."""
    for name, parameter in model.parameters().named():
        parameter.data = read_tensor(file, name)


def _read_config(metadata: dict[str, str]) -> tuple[dict[str, Any], str, str | None]:
    """Return the config of a model, the version of fastnn that wrote it, and the format."""
    if METADATA_KEY not in metadata:
        raise ValueError("its metadata do not describe a model (not written by fastnn)")
    found = parse_json(metadata[METADATA_KEY])
    # 0.1.0 did not write its version
    if not isinstance(found, dict) or not {"version", "model"} <= found.keys() <= _KEYS:
        raise ValueError("its metadata are malformed")
    version, weights = found["version"], found.get("weights")
    if version not in (FORMAT_VERSION, LOW_VERSION):
        raise ValueError(
            f"it has version {version!r:.20} of the format, "
            f"this fastnn reads versions {FORMAT_VERSION} and {LOW_VERSION}"
        )
    if weights not in (FORMATS if version == LOW_VERSION else (None,)):
        raise ValueError(f"its weights are {weights!r:.20}, which version {version} has not")
    return found["model"], f"{found.get('fastnn', '0.1.0')!s:.20}", weights
