"""Base class of layers and models, and the contract of a hand-written backward pass."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import hooks, kernels, watch
from ..checks import GENERATOR, did_you_mean
from ..kernels import NotLowerable
from ..keywords import explained
from ..parameters import Parameter, Parameters
from .blank import join
from .contexts import names_ctx
from .display import html
from .hints import ELSEWHERE
from .randomness import inference
from .states import States

if TYPE_CHECKING:
    from .lowering import Builder
    from .summary import Summary

Shapes = dict[str, tuple[tuple[int, ...], str]]  # name -> (shape, dtype) of parameters


class Module(States, metaclass=watch.Watched):
    """A layer, or a model built from layers.

    A subclass defines `forward` and `backward` side by side and passes its parameters and parts to
    `__init__`::

        y, ctx = layer.forward(x)        # training: ctx is what backward needs, owned by the caller
        dx = layer.backward(dy, ctx)     # adds to each parameter's grad, returns the gradient of x
        y = layer(x)                     # inference: nothing is kept

    The layer itself keeps nothing, so it may occur twice in a model, and be called re-entrantly and
    by several threads. Concurrent backward passes add to the same gradients and need a lock.

    A layer that draws random numbers in training has a `RandomStream` as its attribute `stream`;
    its ctx holds the probability, seed and step that `stream.drop(p)` returned.

    Parameters
    ----------
    parts : mapping of str to Parameter or Module
        In the order of the flat arrays. A module named "0" has parameters named "0.weight", ...

    Examples
    --------
    >>> class Double(nn.Module):
    ...     def forward(self, x):
    ...         return 2 * x, None
    ...     def backward(self, dy, ctx, need_dx=True):
    ...         return 2 * dy
    >>> nn.Sequential(Double({}), nn.ReLU())(np.float32([[-1, 1]]))
    array([[0., 2.]], dtype=float32)
    """

    # Config fields: name -> JSON type, or (type, default) if a file may omit it.
    # `nn.Module` and `list[nn.Module]` stand for nested layers.
    fields: ClassVar[Mapping[str, Any]] = {}
    _registered: ClassVar[tuple[str, int] | None] = None  # name and version, set by `nn.register`

    _is_watched = False  # True once a program was compiled from this layer
    _lowered_as: Any = None  # the forward and __call__ that `lower` mirrors

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            explained(cls)
        if "backward" in vars(cls) and _is_of_fastnn(cls):
            cls.backward = names_ctx(cls.backward)  # type: ignore[method-assign]
        if "lower" in vars(cls):
            cls._lowered_as = cls.forward, cls.__call__

    def __init__(self, parts: Mapping[str, Parameter | Module]) -> None:
        self._modules = {name: part for name, part in parts.items() if isinstance(part, Module)}
        self._named: dict[str, Parameter] = {}
        for name, part in parts.items():
            if isinstance(part, Parameter):
                self._named[name] = part
            else:
                self._named.update({f"{name}.{inner}": p for inner, p in part._named.items()})
        self._parameters: Parameters | None = None
        if GENERATOR.get() is None:
            join(self)

    @abstractmethod
    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return the output for x and the context for `backward`; x must not change until then."""

    @abstractmethod
    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Add the gradients of the parameters to their `grad`; return the gradient of x.

        dy is the gradient of the output of the `forward` that returned ctx; it is left unchanged.
        With `need_dx=False` (the first layer of a model in training) the gradient of x is not
        computed and None is returned.
        """

    def config(self) -> dict[str, Any]:
        """Return what `nn.build` needs to rebuild the architecture, as JSON values."""
        return self._header() | self.field_values()

    @classmethod
    def _header(cls) -> dict[str, Any]:
        name, version = cls._registered or (cls.__name__, 1)
        return {"type": name} if version == 1 else {"type": name, "version": version}

    def field_values(self) -> dict[str, Any]:
        """Return the values of `fields`, by default the attributes with these names.

        A bool field that names a parameter or None says whether the parameter exists. The dtype is
        that of the parameters if there are any.
        """
        values = {}
        for name, spec in type(self).fields.items():
            first = next(iter(self._named.values()), None) if name == "dtype" else None
            value = getattr(self, name) if first is None else first.data.dtype
            values[name] = _plain(value, spec)
        return values

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return name -> (shape, dtype) of the parameters of a module with these fields, in order.

        A file is checked against them before a module is created. A field that holds a layer
        contains its config here; see `nn.parameter_shapes`.
        """
        return {}

    @staticmethod
    def migrate(fields: dict[str, Any], version: int) -> Mapping[str, Any]:
        """Return the fields in the current version, given those that an older version wrote."""
        return fields

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Module:
        """Return a module with these fields, by default `cls(**fields)`."""
        return cls(**fields)

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x without dropout; keep nothing for backward.

        A layer that needs less work than `forward` overrides this.
        """
        with inference():
            return self.forward(x)[0]

    def lower(self, b: Builder) -> None:
        """Add the layer's operations to a program, by calling the methods of a builder in order.

        A model whose layers all define `lower` can be frozen, and in a `Sequential` it runs in one
        call. The operations must compute what `__call__` does, from the layer's attributes and
        parameters only::

            def lower(self, b):
                b.dense(self.weight, self.bias)     # as nn.Linear
                b.lower(self.part)                  # the operations of a part

        Raises
        ------
        NotLowerable
            The layer does not define `lower`: it runs on its own.
        """
        raise NotLowerable(f"{type(self).__name__} has no `lower`: it cannot be frozen")

    def parameters(self) -> Parameters:
        """Return all parameters; those of a part are a slice of the model's flat arrays.

        Raises
        ------
        RuntimeError
            Another model took over some of the parameters, so they no longer share a flat array.
        """
        if self._parameters is None or self._parameters.moved:
            self._parameters = Parameters._where_they_are(self._named)
        return self._parameters

    def parts(self) -> dict[str, Module]:
        """Return the layers that this one contains, by name."""
        return dict(self._modules)

    def modules(self, name: str = "") -> Iterator[tuple[str, Module]]:
        """Iterate over this module and all modules in it, each once, with dotted names."""
        found: dict[int, tuple[str, Module]] = {id(self): (name, self)}
        for part, module in self._modules.items():
            for inner in module.modules(f"{name}.{part}" if name else part):
                found.setdefault(id(inner[1]), inner)
        return iter(found.values())

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int | None:
        """Return the operations of a forward pass on inputs of these shapes, without `parts()`.

        A multiply-add counts as two operations, a function of one number (a maximum, an
        exponential) as one. None if the layer does not define it.
        """
        return 0 if self._modules else None

    def example(
        self, input_shape: tuple[int, ...], dtype: DTypeLike | None = None
    ) -> tuple[NDArray[Any], ...]:
        """Return zeros with which `forward` can be called."""
        return (np.zeros(input_shape, self.parameters().dtype if dtype is None else dtype),)

    def summary(self, input_shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Summary:
        """Return the layers and their costs; `print` it for a table.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of a whole batch: (256, 784), not (784,).
        dtype : optional
            Of the input, zeros; by default that of the parameters, an integer type for token ids.

        Returns
        -------
        Summary
            `.parameters`, `.flops` (of the forward pass), `.activation_bytes` (kept for the
            backward pass), and the same of each of `.layers`.

        Raises
        ------
        ValueError, TypeError
            The model does not accept such an input.
        """
        from .summary import summarize

        return summarize(self, input_shape, dtype)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        self.parameters().zero_grad()

    def freeze(
        self, batch_max: int = 1024, *, max_len: int = 1024, weights: str | None = None
    ) -> kernels.Plan:
        """Return a copy of the model for inference only: see `fastnn.nn.freeze`."""
        from .lowering import freeze

        return freeze(self, batch_max, max_len=max_len, weights=weights)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        metadata: Mapping[str, str] | None = None,
        weights: str | None = None,
    ) -> None:
        """Write the model to a file that `fastnn.load` reads: see `fastnn.save`."""
        hooks.bound("save")(self, path, metadata=metadata, weights=weights)

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__.get(name)
        if own is value or "_named" not in self.__dict__:  # __init__ has not finished
            object.__setattr__(self, name, value)
        elif isinstance(own, Parameter) and any(own is p for p in self._named.values()):
            if isinstance(value, (Parameter, Module)):
                raise TypeError(
                    f"{type(self).__name__}.{name} is a parameter of this model and stays the "
                    f"same object; change its values: {name}.data = array"
                )
            own.data = value
        elif isinstance(own, Module) and any(own is part for part in self._modules.values()):
            raise TypeError(
                f"{type(self).__name__}.{name} is a part of this model and stays the same object; "
                f"change its values ({name}.load_state(state)) or make a new model"
            )
        elif own is None and name in ("weight", "bias") and _is_of_fastnn(type(self)):
            raise TypeError(f"this {type(self).__name__} was made without {name}")
        else:
            object.__setattr__(self, name, value)
            if self._is_watched:
                watch.changed()

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        watch.changed()

    if not TYPE_CHECKING:  # with it, a type checker would accept any attribute name

        def __getattr__(self, name: str) -> Any:
            hint = ELSEWHERE.get(name, "")
            if name in ("_modules", "_named", "_parameters"):
                hint = "__init__ must end with super().__init__({name: part, ...})"
            near = "" if name.startswith("_") else did_you_mean(name, dir(self))
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(
                f"{message}: {hint}" if hint else message + near,
                name=name,
                obj=self,
            )

    _repr_html_ = html

    def __repr__(self) -> str:
        config = self.config()
        del config["type"]
        config.pop("version", None)
        fields = ", ".join(f"{key}={value!r}" for key, value in config.items())
        return f"{type(self).__name__}({fields})"


def _is_of_fastnn(cls: type[Module]) -> bool:
    return cls.__module__.startswith(__name__.partition(".")[0] + ".")


def _plain(value: Any, spec: Any) -> Any:
    """Return the value of a field as a JSON value."""
    kind = spec[0] if isinstance(spec, tuple) else spec
    if kind is bool or (kind is float and isinstance(value, (int, np.floating))):
        return kind(value)
    if isinstance(value, Module):
        return value.config()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, (list, tuple)):
        return value
    items: list[Any] = []
    first: dict[int, int] = {}  # id -> first position of a layer; repeats refer to it
    for i, item in enumerate(value):
        of = first.setdefault(id(item), i) if isinstance(item, Module) else i
        items.append(_plain(item, None) if of == i else {"type": "Repeat", "of": of})
    return items
