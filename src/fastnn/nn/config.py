"""From a config back to a model: the reverse of `Module.config()`.

A config comes from a file that anybody may have written, so nothing in it is believed: every field
is checked, and `parameter_shapes` tells what a model would hold before any memory is taken for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from types import NoneType
from typing import Any

from .activation import GELU, LAYERS, LeakyReLU, LogSoftmax, Softmax
from .attention import MultiHeadAttention, attention_shapes
from .container import MLP, Residual, Sequential
from .dropout import Dropout
from .embedding import Embedding
from .feed_forward import FeedForward, feed_forward_shapes
from .linear import Linear
from .module import Module
from .normalization import AddNorm, LayerNorm, RMSNorm
from .positional import PositionalEncoding, positional_shapes
from .prelu import PReLU
from .transformer import TransformerDecoder, TransformerEncoder, stack_shapes
from .transformer_block import DecoderBlock, EncoderBlock, block_shapes

Shapes = dict[str, tuple[tuple[int, ...], str]]

# Layers made from their fields alone.
_PLAIN: dict[str, Callable[..., Module]] = {layer.__name__: layer for layer in LAYERS}
_PLAIN |= {layer.__name__: layer for layer in (GELU, Softmax, Dropout)}
_PLAIN |= {layer.__name__: layer for layer in (LeakyReLU, LogSoftmax, PReLU)}
_PLAIN |= {layer.__name__: layer for layer in (LayerNorm, RMSNorm, AddNorm)}
_PLAIN["Embedding"] = partial(Embedding, rng=0)

# type -> the class of what `build` makes
_CLASSES: dict[str, Any] = _PLAIN | {
    layer.__name__: layer for layer in (Linear, Embedding, MLP, Sequential, Residual)
}

# type -> field -> the type(s) a value may have
_FIELDS: dict[str, dict[str, Any]] = {
    "Linear": {
        "in_features": int,
        "out_features": int,
        "bias": bool,
        "activation": (str, NoneType),
        "dtype": str,
    },
    **{layer.__name__: {} for layer in LAYERS},
    "GELU": {"approximate": (str, NoneType)},
    "LeakyReLU": {"slope": float},
    "PReLU": {"num_parameters": int, "dtype": str},
    "Softmax": {},
    "LogSoftmax": {},
    "Dropout": {"p": float},
    "LayerNorm": {"dim": int, "eps": float, "affine": bool, "bias": bool, "dtype": str},
    "RMSNorm": {"dim": int, "eps": float, "affine": bool, "dtype": str},
    "AddNorm": {
        "dim": int,
        "dropout": float,
        "eps": float,
        "kind": str,
        "with_sum": bool,
        "bias": bool,
        "dtype": str,
    },
    "Embedding": {
        "num": int,
        "dim": int,
        "scale": (float, NoneType),
        "padding_idx": (int, NoneType),
        "dtype": str,
    },
    "MLP": {"sizes": list, "activation": (str, NoneType), "dtype": str},
    "Sequential": {"layers": list},
    "Residual": {"layer": Mapping},
    "Repeat": {"of": int},
}


# type -> (what makes it from its fields, the shapes of its parameters), of those that `register` knows
_REGISTERED: dict[str, tuple[Callable[..., Module], Callable[[dict[str, Any]], Shapes]]] = {}


def register(
    kind: Callable[..., Module],
    fields: Mapping[str, Any],
    shapes: Callable[[dict[str, Any]], Shapes],
) -> None:
    """Let `build` make modules of this class: from all its fields and rng=0.

    Parameters
    ----------
    kind : class
        Its `config()` has the name of the class as "type", and the fields.
    fields : mapping
        field -> the type(s) that a value may have.
    shapes : callable
        The fields -> name -> (shape, dtype) of every parameter, in order.
    """
    name = kind.__name__
    _FIELDS[name], _CLASSES[name] = dict(fields), kind
    _REGISTERED[name] = partial(kind, rng=0), shapes


_HEADS = {"d_model": int, "n_heads": int, "n_kv_heads": int, "bias": bool, "rotary": bool}
_HEADS |= {"dropout": float, "dtype": str}
_FEED_FORWARD = {"d_model": int, "d_ff": int, "activation": (str, NoneType), "dropout": float}
_BLOCK = _HEADS | _FEED_FORWARD | {"attention_dropout": float, "norm_first": bool, "norm": str}
_BLOCK |= {"eps": float, "causal": bool}
_STACK = _BLOCK | {"n_layers": int, "final_norm": bool}

register(MultiHeadAttention, _HEADS | {"d_memory": (int, NoneType)}, attention_shapes)
register(FeedForward, _FEED_FORWARD | {"bias": bool, "dtype": str}, feed_forward_shapes)
register(
    PositionalEncoding,
    {"d_model": int, "max_len": int, "kind": str, "dropout": float, "dtype": str},
    positional_shapes,
)
register(EncoderBlock, _BLOCK, partial(block_shapes, has_memory=False))
register(DecoderBlock, _BLOCK, partial(block_shapes, has_memory=True))
register(TransformerEncoder, _STACK, partial(stack_shapes, has_memory=False))
register(TransformerDecoder, _STACK, partial(stack_shapes, has_memory=True))


def build(config: Mapping[str, Any]) -> Module:
    """A new model of the architecture that `config` describes, with fixed first weights.

    Parameters
    ----------
    config : mapping
        As returned by `Module.config()`.

    Raises
    ------
    ValueError, TypeError
        The config names an unknown type, has missing or unexpected fields, or a value no layer
        accepts.
    """
    kind, fields = _checked(config)
    if kind in _REGISTERED:
        return _REGISTERED[kind][0](**fields)
    if kind == "Linear":
        return Linear(**fields, rng=0)
    if kind in _PLAIN:
        return _PLAIN[kind](**fields)
    if kind == "MLP":
        return MLP(**fields, rng=0)
    if kind == "Sequential":
        layers: list[Module] = []
        for layer in fields["layers"]:
            of = _repeated(layer, len(layers))
            layers.append(build(layer) if of is None else layers[of])
        return Sequential(*layers)
    if kind == "Residual":
        return Residual(build(fields["layer"]))
    raise ValueError("a Repeat stands only inside a Sequential")


def parameter_shapes(config: Mapping[str, Any]) -> Shapes:
    """Name -> (shape, dtype) of every parameter that `build(config)` would make, without making it.

    Raises as `build` for a malformed config.
    """
    kind, fields = _checked(config)
    if kind in _REGISTERED:
        return _REGISTERED[kind][1](fields)
    if kind == "Linear":
        n, m, dtype = fields["in_features"], fields["out_features"], fields["dtype"]
        bias = {"bias": ((m,), dtype)} if fields["bias"] else {}
        return {"weight": ((n, m), dtype), **bias}
    if kind == "PReLU":
        return {"weight": ((fields["num_parameters"],), fields["dtype"])}
    if kind == "Embedding":
        return {"weight": ((fields["num"], fields["dim"]), fields["dtype"])}
    if kind in ("LayerNorm", "RMSNorm", "AddNorm"):
        shape = (fields["dim"],), fields["dtype"]
        has_weight = fields.get("affine", True)
        has_bias = has_weight and fields.get("bias", False) and fields.get("kind") != "rms"
        return {
            **({"weight": shape} if has_weight else {}),
            **({"bias": shape} if has_bias else {}),
        }
    shapes: Shapes = {}
    if kind == "MLP":
        for i, (n, m) in enumerate(pairwise(fields["sizes"])):
            shapes[f"{i}.weight"] = ((n, m), fields["dtype"])
            shapes[f"{i}.bias"] = ((m,), fields["dtype"])
    elif kind == "Sequential":
        for i, layer in enumerate(fields["layers"]):
            if _repeated(layer, i) is None:
                inner = parameter_shapes(layer)
                shapes.update({f"{i}.{name}": value for name, value in inner.items()})
    elif kind == "Residual":
        inner = parameter_shapes(fields["layer"])
        shapes.update({f"layer.{name}": value for name, value in inner.items()})
    return shapes


def check_classes(model: Module) -> None:
    """ValueError unless `build` would make a module of the same class for every one in the model.

    A subclass with the config of its parent would come back as the parent, without its own forward.
    """
    for name, module in model.modules():
        kind = module.config()["type"]
        if type(module) is not _CLASSES.get(kind):
            raise ValueError(
                f"{name or 'the model'} is of your own class {type(module).__name__}, "
                f"but its config describes a {kind}, so it could not be loaded again"
            )


def _checked(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type and the other fields of a config, all there and of the right types."""
    if not isinstance(config, Mapping):
        raise ValueError(f"a layer must be described by an object, got {config!r:.80}")
    kind = config.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise ValueError(f"unknown type of layer {kind!r:.80}; known are {', '.join(_FIELDS)}")
    fields = {key: value for key, value in config.items() if key != "type"}
    expected = _FIELDS[kind]
    if fields.keys() != expected.keys():
        raise ValueError(f"{kind} needs the fields {sorted(expected)}, got {sorted(fields)!r:.200}")
    for key, value in fields.items():
        # bool is a kind of int in Python, but True is no number of features
        is_wrong_bool = isinstance(value, bool) and expected[key] is not bool
        if is_wrong_bool or not isinstance(value, expected[key]):
            raise ValueError(f"{kind}: {key} cannot be {value!r:.80}")
    return kind, fields


def _repeated(layer: Mapping[str, Any], position: int) -> int | None:
    """The earlier position that a Repeat names, or None for any other layer."""
    kind, fields = _checked(layer)
    if kind != "Repeat":
        return None
    if not 0 <= fields["of"] < position:
        raise ValueError(f"layer {position} cannot repeat layer {fields['of']}")
    return int(fields["of"])
