"""Files of the branches of a LoRA alone, a small part of the model."""

from __future__ import annotations

from .. import nn
from ..checks import given
from ..json_text import compose_json, parse_json
from ..keywords import explained
from .atomic import PathLike
from .tensors import check_headers, headers, open_tensors, read_tensor, write_tensors

LORA_KEY = "fastnn.lora"  # of the metadata: the fields of the LoRA without its model
FIELDS = ("rank", "alpha", "targets", "dropout")


@explained
def save_lora(lora: nn.LoRA, path: PathLike) -> None:
    """Write the branches of a LoRA, without the model, to a file that `load_lora` reads.

    The file replaces an existing one atomically. `fastnn.save` writes both together.

    Parameters
    ----------
    lora : nn.LoRA
    path : path-like
        Usually ends in ".safetensors". Arrays are named "lora.LAYER.a" and "lora.LAYER.b".

    Raises
    ------
    TypeError
        `lora` is not an nn.LoRA.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> lora = nn.LoRA(nn.MLP((3, 4, 2), rng=0), rank=1, rng=0)
    >>> fastnn.files.save_lora(lora, "task.safetensors")
    >>> again = fastnn.files.load_lora("task.safetensors", nn.MLP((3, 4, 2), rng=0))
    >>> again.targets
    ['0', '1']
    """
    if not isinstance(lora, nn.LoRA):
        raise TypeError(f"save_lora: lora must be an nn.LoRA, got {given(lora)}")
    arrays = {n: p.data for n, p in lora.parameters().named() if not n.startswith("model.")}
    values = {key: value for key, value in lora.config().items() if key in FIELDS}
    write_tensors(path, arrays, {LORA_KEY: compose_json(values)})


@explained
def load_lora(path: PathLike, model: nn.Module) -> nn.LoRA:
    """Read a file that `save_lora` wrote, and put its branches beside the layers of a model.

    Parameters
    ----------
    path : path-like
    model : nn.Module
        The model that the branches were trained for.

    Returns
    -------
    nn.LoRA
        Over `model`, which is frozen; `merge` adds the branches to its weights.

    Raises
    ------
    ModelFileError
        The file is damaged or holds no branches, or they do not fit the model, which is unchanged.
    OSError
        The file does not exist or cannot be read.

    Examples
    --------
    See `save_lora`.

    >>> fastnn.save(nn.MLP((3, 2), rng=0), "model.safetensors")
    >>> fastnn.files.load_lora("model.safetensors", nn.MLP((3, 2), rng=0))
    Traceback (most recent call last):
    fastnn.files.tensors.ModelFileError: model.safetensors holds no ...lacks 'fastnn.lora'
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"load_lora: model must be an nn.Module, got {given(model)}")
    with open_tensors(path) as file:
        values = parse_json((file.metadata() or {})[LORA_KEY])
        if not isinstance(values, dict) or values.keys() != set(FIELDS):
            raise ValueError("its metadata are malformed")
        own = {name: (p.data.shape, p.data.dtype.name) for name, p in model.parameters().named()}
        expected = nn.LoRA.branch_shapes(own, values)
        check_headers(headers(file), expected)
        lora = nn.LoRA(model, **values, rng=0)
        for name, parameter in lora.parameters().named():
            if name in expected:
                parameter.data = read_tensor(file, name)
    return lora
