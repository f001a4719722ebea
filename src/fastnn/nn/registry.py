"""The layers that a model file can name, and how a config becomes a model.

A config comes from an untrusted file, so it never imports code: a type must be registered in this
process, every field is checked, and `parameter_shapes` returns what a model would hold before any
memory is allocated for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

from .. import hooks
from ..checks import check_count, check_name, given
from ..keywords import explained
from .module import Module, Shapes

Layer = TypeVar("Layer", bound=type[Module])

# Types of fields that hold layers, and their types in a config.
_NESTED: dict[Any, type] = {Module: Mapping, list[Module]: list}

# name -> class, and further arguments of its constructor
_REGISTERED: dict[str, tuple[type[Module], dict[str, Any]]] = {}


@explained
def register(name: str, *, version: int = 1, **constants: Any) -> Callable[[Layer], Layer]:
    """Register a `Module` class so that models that contain it can be saved and loaded.

    The class lists its config fields in `fields`, computes its parameters' shapes in `shapes`, and
    converts older configs in `migrate`; see `Module`.

    Parameters
    ----------
    name : str
        Permanent name in files, unique among all registered names. Put the name of your package
        before it, "mine.Scale", so that fastnn never uses it.
    version : int
        Version of `fields`, from 1. Increase it if a field is renamed or changes its meaning, and
        let `migrate` convert; a new field only needs a default.
    **constants
        Further arguments of the constructor when a file is loaded, such as ``rng=0`` for initial
        weights that are replaced at once.

    Raises
    ------
    TypeError, ValueError
        The class is not a `Module`, a field is not a type or (type, default), or another class has
        the name. Redefining the same class, as in a notebook, replaces it.

    Examples
    --------
    >>> @nn.register("mine.Scale")
    ... class Scale(nn.Module):
    ...     fields = {"dim": int, "dtype": (str, "float32")}
    """
    name, version = check_name("name", name), check_count("version", version)

    def decorate(cls: Layer) -> Layer:
        if not (isinstance(cls, type) and issubclass(cls, Module)):
            raise TypeError(f"register is for classes of nn.Module, got {given(cls)}")
        for field, spec in cls.fields.items():
            _check_field(cls.__name__, field, spec)
        known, _ = _REGISTERED.get(name, (cls, None))
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(
                f"{name!r} is registered already, for {known.__module__}.{known.__qualname__}"
            )
        cls._registered = name, version
        _REGISTERED[name] = cls, constants
        return cls

    return decorate


def _check_field(layer: str, field: str, spec: Any) -> None:
    kind, *default = spec if isinstance(spec, tuple) else (spec,)
    try:
        fits = field not in ("type", "version") and all(_fits(value, kind) for value in default)
        kind in _NESTED or isinstance(None, kind)
    except TypeError:  # such as list[int]
        fits = False
    if not fits or len(default) > 1:
        raise TypeError(
            f"{layer}.fields: {field!r} must have a type, or (type, default), that isinstance knows"
        )


def _fits(value: Any, kind: Any) -> bool:
    if kind in _NESTED:
        return isinstance(value, _NESTED[kind])
    # bool is a subclass of int in Python, but True is not a number of features
    has_bool = kind in (bool, object) or bool in get_args(kind)
    return isinstance(value, kind) and (has_bool or not isinstance(value, bool))


def registered(name: Any) -> type[Module]:
    """Return the class with this name; raise ValueError if it is not registered in this process."""
    if name == "Repeat":
        raise ValueError("a Repeat stands only inside a list of layers")
    if name not in _REGISTERED:
        hooks.bound("models")  # fastnn's own models register themselves on import
    if name not in _REGISTERED:
        raise ValueError(
            f"unknown type of layer {name!r:.80}: nothing in a file imports code, so the module "
            "that registers it by @nn.register must be imported before; registered here are "
            f"{', '.join(_REGISTERED)}"
        )
    return _REGISTERED[name][0]


@explained
def build(config: Mapping[str, Any]) -> Module:
    """Build a new model of the architecture in `config`, with fixed initial weights.

    Parameters
    ----------
    config : mapping
        As returned by `Module.config()`.

    Raises
    ------
    ValueError, TypeError
        The config names an unregistered type, has missing or unknown fields, or a value that no
        layer accepts.

    Examples
    --------
    >>> model = nn.build(nn.MLP((3, 4, 2), rng=0).config())
    >>> model.sizes
    (3, 4, 2)
    """
    cls, fields = _checked(config)
    for name, value in fields.items():
        if _kind(cls, name) is Module:
            fields[name] = build(value)
        elif _kind(cls, name) == list[Module]:
            layers: list[Module] = []
            for layer in value:
                of = _repeated(layer, len(layers))
                layers.append(build(layer) if of is None else layers[of])
            fields[name] = layers
    return cls.from_fields(fields | _REGISTERED[config["type"]][1])


@explained
def parameter_shapes(config: Mapping[str, Any]) -> Shapes:
    """Return name -> (shape, dtype) of every parameter that `build(config)` would create.

    Allocates nothing. Raises as `build` for a malformed config.

    Examples
    --------
    >>> nn.parameter_shapes(nn.Linear(3, 2).config())
    {'weight': ((3, 2), 'float32'), 'bias': ((2,), 'float32')}
    """
    cls, fields = _checked(config)
    return cls.shapes(fields)


def current(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config in the current version of its layers, migrated and complete.

    Raises as `build` for a malformed config.
    """
    cls, fields = _checked(config)
    for name, value in fields.items():
        if _kind(cls, name) is Module:
            fields[name] = current(value)
        elif _kind(cls, name) == list[Module]:
            fields[name] = [
                current(layer) if _repeated(layer, i) is None else layer
                for i, layer in enumerate(value)
            ]
    return cls._header() | fields


def described(model: Module) -> dict[str, Any]:
    """Return the config of a model; raise ValueError if `build` could not rebuild the model.

    Every class in it must be registered: a subclass with the config of its parent would come back
    as the parent, without its own forward.
    """
    from inspect import signature  # needed only when a model is saved

    check_branches(model)
    for name, module in model.modules():
        cls, config = type(module), module.config()
        where = name or "the model"
        if _REGISTERED.get(config["type"], (None,))[0] is not cls:
            raise ValueError(
                f"{where} is of your own class {cls.__name__}, which is not registered, so it "
                f"could not be loaded again: put @nn.register({cls.__name__!r}) before the class"
            )
        _, fields = _checked(config)
        if getattr(cls.from_fields, "__func__", None) is vars(Module)["from_fields"].__func__:
            try:
                signature(cls).bind(**fields, **_REGISTERED[config["type"]][1])
            except TypeError as error:
                raise ValueError(
                    f"{where} could not be loaded again: {cls.__name__}, {error}"
                ) from None
    config = model.config()
    expected = parameter_shapes(config)
    found = {name: (p.data.shape, p.data.dtype.name) for name, p in model.parameters().named()}
    if expected != found:
        names = sorted(n for n in expected.keys() | found if expected.get(n) != found.get(n))
        raise ValueError(
            f"the config of this {type(model).__name__} does not describe all its parameters, so "
            f"it could not be loaded again: by `shapes` {names[0]!r} is {expected.get(names[0])}, "
            f"in this model {found.get(names[0])}"
        )
    return config


def check_branches(model: Module) -> None:
    """Raise ValueError if a layer has a LoRA branch that is not part of the model."""
    modules = dict(model.modules())
    owned = [b for m in modules.values() for b in vars(m).get("branches", {}).values()]
    for name, module in modules.items():
        branch = vars(module).get("adapter")
        if branch is not None and all(branch is not other for other in owned):
            raise ValueError(f"{name!r} has a LoRA branch: merge() it, or save the nn.LoRA itself")


def shapes_in_a_row(layers: list[Any]) -> Shapes:
    """Return the `parameter_shapes` of a list of configs by position, without repeated layers."""
    once = {str(i): layer for i, layer in enumerate(layers) if _repeated(layer, i) is None}
    return prefixed({name: parameter_shapes(layer) for name, layer in once.items()})


def _repeated(layer: Any, position: int) -> int | None:
    """Return the position that {"type": "Repeat", "of": ...} refers to; None for other configs."""
    if not isinstance(layer, Mapping) or layer.get("type") != "Repeat":
        return None
    of = layer.get("of")
    if layer.keys() != {"type", "of"} or type(of) is not int or not 0 <= of < position:
        raise ValueError(f"layer {position} cannot repeat layer {of!r:.40}")
    return of


def prefixed(parts: Mapping[str, Shapes]) -> Shapes:
    """Return the parameters of parts under dotted names."""
    return {
        f"{part}.{name}": found for part, inner in parts.items() for name, found in inner.items()
    }


def _kind(cls: type[Module], field: str) -> Any:
    spec = cls.fields[field]
    return spec[0] if isinstance(spec, tuple) else spec


def _checked(config: Mapping[str, Any]) -> tuple[type[Module], dict[str, Any]]:
    """Return the class and the fields of a config, complete, checked and in the current version."""
    if not isinstance(config, Mapping):
        raise ValueError(f"a layer must be described by an object, got {given(config)}")
    kind = config.get("type")
    cls = registered(kind if isinstance(kind, str) else given(kind))
    assert cls._registered is not None
    version, own = config.get("version", 1), cls._registered[1]
    if type(version) is not int or not 1 <= version <= own:
        raise ValueError(f"{kind} has version {version!r:.40}, known are those up to {own}")
    fields = {key: value for key, value in config.items() if key not in ("type", "version")}
    if version < own:
        fields = dict(cls.migrate(fields, version))
    if unknown := sorted(fields.keys() - cls.fields):
        raise ValueError(f"{kind} has no fields {unknown!r:.200}, only {sorted(cls.fields)}")
    found, missing = {}, []
    for name, spec in cls.fields.items():
        if name in fields:
            found[name] = fields[name]
            if not _fits(found[name], _kind(cls, name)):
                raise ValueError(f"{kind}: {name} cannot be {fields[name]!r:.80}")
        elif isinstance(spec, tuple):
            found[name] = spec[1]
        else:
            missing.append(name)
    if missing:
        raise ValueError(f"{kind} needs the fields {missing}")
    return cls, found
