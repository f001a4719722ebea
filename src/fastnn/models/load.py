"""Read a folder as transformers saves it, and write it back: config.json and safetensors files.

Nothing in a file is believed before it is checked. The weights stay on the disk until the config,
the names and the shapes fit; then each array is read once, into its place in the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_choice, check_dtype
from ..files.atomic import PathLike, write_atomically
from ..files.tensors import (
    BFLOAT16,
    ModelFileError,
    Stored,
    mapped,
    open_tensors,
    write_tensors,
)
from ..json_text import compose_json
from ..kernels import narrow
from ..keywords import explained
from ..nn import Module
from ..nn.blank import join, undrawn
from ..nn.registry import check_branches
from . import families, gguf
from .families.checkpoint import Names, Part
from .folders import CONFIG, WEIGHTS, config_beside, weight_files
from .tokens import TokenModel

Array = NDArray[Any]
Arrays = Mapping[str, Any]  # name -> array on the disk, which has shape, dtype and read()

GGUF = ".gguf"
HEAD = "head.weight"  # of a language model
KEPT = ("pooler.dense.*", "*.pooler.dense.*")  # not read, but written back
FLOATS = ("float32", "float16", "bfloat16", "float64")
# Ends of names in the oldest files.
_OLD_ENDS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


@explained
def load(folder: PathLike, *, dtype: DTypeLike = "float32") -> Module:
    """Read a pretrained model: a folder with config.json and safetensors files.

    Parameters
    ----------
    folder : path-like
        As transformers' `save_pretrained` writes it, with one file or several and an index. Weights
        are float32, float16, bfloat16 or float64. Or a .gguf file with float32, float16, bfloat16,
        Q8_0, Q4_0 or Q4_1.
    dtype : float32 or float64
        Of the model.

    Returns
    -------
    TransformerEncoderModel or TransformerLM
        By the model_type of the config; docs/pretrained.md lists those that are known.

    Raises
    ------
    ModelFileError
        The folder is incomplete or damaged, its model_type is unknown, or a value in its config is
        not supported; the message names the file, and the key and value.
    OSError
        The folder does not exist, or a file cannot be read.
    ModuleNotFoundError
        safetensors is not installed.

    Examples
    --------
    >>> new = fastnn.models.TransformerEncoderModel(50, 16, 2, 1, 32, 8, rng=0)
    >>> config = {"model_type": "bert", "vocab_size": 50, "hidden_size": 16}
    >>> config |= {"num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}
    >>> fastnn.models.save(new, "bert", config=config | {"max_position_embeddings": 8})
    >>> model = fastnn.models.load("bert")
    >>> model(np.array([[4, 5, 6]])).shape
    (1, 3, 16)
    """
    dtype = check_dtype(dtype)
    path = Path(folder)
    if not path.exists():
        raise FileNotFoundError(2, "No such folder", str(path))
    if path.is_file() and path.suffix == GGUF:
        with errors_of(path):
            return _model(path, *gguf.read(path), path, dtype)
    if not path.is_dir():
        raise NotADirectoryError(20, f"Not a folder with a {CONFIG}, nor a {GGUF} file", str(path))
    where, values = config_beside(path)
    if where is None:
        raise ModelFileError(f"{path} has no {CONFIG}: is it a model's folder, and complete?")
    with _stored(path) as arrays:
        return _model(where, values, arrays, path, dtype)


def _model(where: Path, values: Any, arrays: Arrays, path: Path, dtype: np.dtype[Any]) -> Module:
    """Return the model of a config, which stands in `where`, with these arrays of `path`."""
    with errors_of(where), undrawn(sum(math.prod(x.shape) for x in arrays.values())):
        model, names, family = families.build(values, dtype)
    with errors_of(path):
        join(model)
        found, prefix = _fitting(arrays, names, family)
        fill(model, names, found)
    kept = {name: x.read().copy() for name, x in arrays.items() if _matches(name, KEPT)}
    vars(model)["checkpoint"] = values, _prefixed(names, prefix), kept
    return model


@explained
def save(
    model: Module,
    folder: PathLike,
    *,
    config: Mapping[str, Any] | None = None,
    weights: str | None = None,
) -> None:
    """Write a model into a folder that `load` and transformers read.

    Parameters
    ----------
    model : Module
        One that `load` returned, trained further or not, or a new one with `config`.
    folder : path-like
        Created if it does not exist. config.json and model.safetensors are written; other files,
        such as tokenizer.json, are left as they are.
    config : mapping, optional
        The config.json; by default that of the folder that the model was loaded from.
    weights : str, optional
        "bf16" rounds all arrays to bfloat16, as a model in torch.bfloat16 is saved.

    Raises
    ------
    ValueError
        The model was not loaded from a folder and config is not given, or config describes another
        model; or `weights` is unknown.
    OSError
        A file cannot be written.

    Examples
    --------
    See `load`.

    >>> fastnn.models.save(fastnn.nn.MLP((3, 2), rng=0), ".")
    Traceback (most recent call last):
    ValueError: save: this MLP was not loaded from a folder: give its config
    """
    check_branches(model)
    is_bf16 = check_choice("weights", weights, (None, "bf16")) == "bf16"
    known: Any = vars(model).get("checkpoint")
    if config is None and known is None:
        raise ValueError(
            f"save: this {type(model).__name__} was not loaded from a folder: give its config"
        )
    values, names, kept = known if config is None else (config, _names_for(model, config), {})
    dtype = BFLOAT16 if is_bf16 else model.parameters().dtype.name
    values = {**values, "dtype": dtype, "torch_dtype": dtype}
    own = dict(model.parameters().named())
    arrays: dict[str, Any] = {n: _taken(own[part.ours].data, part) for n, part in names.items()}
    arrays |= kept
    if is_bf16:
        arrays = {n: Stored(narrow(x.astype(np.float32)), BFLOAT16) for n, x in arrays.items()}
    Path(folder).mkdir(exist_ok=True)
    write_tensors(Path(folder) / WEIGHTS, arrays, {"format": "pt"})
    write_atomically(Path(folder) / CONFIG, compose_json(values).encode())


def _names_for(model: Module, config: Mapping[str, Any]) -> Names:
    """Return the names for a new model; raise ValueError if its config describes another one."""
    with undrawn(model.parameters().size):
        described, names, family = families.build(config, model.parameters().dtype)
    if _computed(described) != _computed(model):
        raise ValueError(f"save: config describes {described!r}, not {model!r}")
    return _prefixed(names, family.PREFIXES[0] if isinstance(model, TokenModel) else "")


def _prefixed(names: Names, prefix: str) -> Names:
    """Return the names as transformers writes them: all but the head stand below a prefix."""
    return {prefix * (part.ours != HEAD) + name: part for name, part in names.items()}


def _computed(model: Module) -> dict[str, Any]:
    """Return the fields that determine what a model computes in inference."""
    return {key: value for key, value in model.config().items() if "dropout" not in key}


@contextmanager
def errors_of(where: Path) -> Iterator[None]:
    """Raise errors about values of a file as ModelFileError, with its name."""
    try:
        yield
    except ModelFileError:
        raise
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ModelFileError(f"{where}: {error}") from error


@contextmanager
def _stored(folder: Path) -> Iterator[Arrays]:
    """Yield the arrays of all files of a folder, mapped into memory."""
    files = weight_files(folder)
    if missing := [path.name for path in files if not path.is_file()]:
        raise ModelFileError(
            f"{folder} is incomplete: {len(missing)} of {len(files)} files with weights are "
            f"missing, such as {missing[0]!r:.200}"
        )
    found: dict[str, Stored] = {}
    with ExitStack() as opened:
        for path in files:
            opened.enter_context(open_tensors(path))
            for name, stored in mapped(path).items():
                if name in found:
                    raise ModelFileError(f"{path}: {name!r:.200} stands in another file, too")
                found[name] = stored
        yield found


def _fitting(arrays: Arrays, names: Names, family: families.Family) -> tuple[Arrays, str]:
    """Return the arrays under the names of the family, and the family's prefix if they have it.

    Raises ValueError unless all are there.
    """
    found = {}
    for name, stored in arrays.items():
        short = next((name[len(p) :] for p in family.PREFIXES if name.startswith(p)), name)
        for old, new in _OLD_ENDS.items():
            short = short.removesuffix(old) + new * short.endswith(old)
        if short in names and short not in found:
            found[short] = stored
        elif not _matches(short, family.UNUSED) and not _matches(name, family.UNUSED):
            raise ValueError(f"the weights have {name!r:.200}, which the config does not describe")
    if missing := [name for name in names if name not in found]:
        raise ValueError(
            f"{len(missing)} of {len(names)} arrays are missing, such as {missing[0]!r:.200}"
        )
    return found, family.PREFIXES[0] * any(name.startswith(family.PREFIXES[0]) for name in arrays)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def fill(model: Module, names: Names, arrays: Arrays) -> None:
    """Copy arrays into the parameters that they belong to.

    Raises
    ------
    ValueError
        An array does not have the shape of its place, or does not hold floating-point numbers;
        nothing is copied then.
    """
    own = {name: parameter.data for name, parameter in model.parameters().named()}
    for name, part in names.items():
        stored, wanted = arrays[name], _place(own[part.ours], part).shape
        wanted = wanted[::-1] if part.transpose else wanted
        if stored.shape != wanted:
            raise ValueError(f"{name!r} has the shape {stored.shape}, the config needs {wanted}")
        if stored.dtype not in FLOATS:
            raise ValueError(f"{name!r} is {stored.dtype:.40}; weights must be {', '.join(FLOATS)}")
    for name, part in names.items():
        values = arrays[name].read()
        if part.order is not None:
            values = values[part.order]
        with np.errstate(over="ignore"):  # of float64
            _place(own[part.ours], part)[...] = values.T if part.transpose else values


def _place(parameter: Array, part: Part) -> Array:
    return parameter[..., part.start : part.stop]


def _taken(parameter: Array, part: Part) -> Array:
    """Return a C-contiguous array as it stands in the file: the inverse of `fill`."""
    values = _place(parameter, part)
    values = np.ascontiguousarray(values.T if part.transpose else values)
    if part.order is None:
        return values
    ordered = np.empty_like(values)
    ordered[part.order] = values
    return ordered
