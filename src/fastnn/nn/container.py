"""Containers: models built from other layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import index as as_index
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..checks import check_count, check_dtype, check_generator, given
from ..kernels.ground.memory import empty
from .activation import ActivationName
from .backward_progress import current_listener
from .hints import not_a_layer
from .init import Initializer
from .linear import Linear, Seed, check_activation
from .lowering import Builder, Lowered
from .module import Module, Shapes
from .precision import is_bf16
from .registry import parameter_shapes, prefixed, register, shapes_in_a_row
from .states import first_trained


@register("Sequential")
class Sequential(Module):
    """Apply layers in order: the output of each is the input of the next.

    Parameters
    ----------
    *layers : Module
        At least one. Their parameters move into the flat arrays of this model and are named
        "0.weight", "0.bias", "1.weight" and so on. The parameters of a layer that occurs twice are
        stored once, under its first position, and its gradients add up.

    Raises
    ------
    TypeError
        Something is not a layer, or layers have different dtypes.
    ValueError
        There are no layers.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=1))
    >>> model(np.ones((5, 4), np.float32)).shape
    (5, 2)
    """

    fields: ClassVar = {"layers": list[Module]}

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the layers, each once."""
        return shapes_in_a_row(fields["layers"])

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Module:
        """Return the container of these layers, passed by position."""
        return cls(*fields["layers"])

    def __init__(self, *layers: Module) -> None:
        if not layers:
            raise ValueError(f"{type(self).__name__} needs at least one layer")
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"{type(self).__name__}: layer {i} {not_a_layer(layer)}")
        self.layers = layers
        self._lowered = Lowered(self)
        super().__init__({str(i): layer for i, layer in enumerate(layers)})

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; release each layer's output once the next is computed."""
        program = self._lowered.program()
        if program is not None and (y := program.infer(x)) is not None:
            return y
        for layer in self.layers:
            x = layer(x)
        return x

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return the output of the last layer; the context is the list of the layers' contexts.

        The context is a tuple if all layers ran in one call: see `lowering`.
        """
        program = None if is_bf16() else self._lowered.program()
        if program is not None and (done := program.forward(x)) is not None:
            return done
        contexts = []
        for layer in self.layers:
            x, ctx = layer.forward(x)
            contexts.append(ctx)
        return x, contexts

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Run the layers' backward passes from last to first."""
        if isinstance(ctx, tuple):
            program = self._lowered.program()
            if program is None:
                raise ValueError(
                    f"{type(self).__name__}: the layers changed since the forward pass of ctx, or "
                    "ctx is not of this model"
                )
            return program.backward(dy, ctx, need_dx)
        if len(ctx) != len(self.layers):
            raise ValueError("ctx must have one context for each layer")
        grad: Any = dy
        done, first = current_listener(), first_trained(self.layers, need_dx)
        for i in reversed(range(first, len(self.layers))):
            grad = self.layers[i].backward(grad, ctx[i], need_dx=need_dx or i > first)
            if done is not None:
                done(self.layers[i])
        return grad if need_dx else None

    def lower(self, b: Builder) -> None:
        """Add the operations of the layers in order."""
        for layer in self.layers:
            b.lower(layer)

    def __getitem__(self, index: int) -> Module:
        return self.layers[as_index(index)]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"


@register("Residual")
class Residual(Module):
    """y = x + layer(x): He et al., "Deep residual learning for image recognition", CVPR 2016.

    Parameters
    ----------
    layer : Module
        Its output must have the shape of its input. Its parameters are named "layer.weight" and so
        on.

    Raises
    ------
    TypeError
        `layer` is not a layer.

    Examples
    --------
    >>> layer = nn.Residual(nn.ReLU())
    >>> layer(np.float32([[-1, 2]]))
    array([[-1.,  4.]], dtype=float32)
    """

    fields: ClassVar = {"layer": Module}

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of the layer."""
        return prefixed({"layer": parameter_shapes(fields["layer"])})

    def __init__(self, layer: Module) -> None:
        if not isinstance(layer, Module):
            raise TypeError(f"Residual: layer {not_a_layer(layer)}")
        self.layer = layer
        super().__init__({"layer": layer})

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return the output for x; keep nothing for backward."""
        return _sum(x, self.layer(x))

    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """Return x plus the layer's output; the context is the layer's.

        Raises
        ------
        ValueError
            The layer's output differs in shape from x.
        """
        y, ctx = self.layer.forward(x)
        return _sum(x, y), ctx

    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Return dx = dy + the gradient through the layer."""
        dx = self.layer.backward(dy, ctx, need_dx=need_dx)
        return None if dx is None else np.add(dy, dx, out=empty(dy.shape, dy.dtype))

    def flops(self, input_shape: tuple[int, ...], *others: tuple[int, ...]) -> int:
        """Count one operation per element, for the sum."""
        return math.prod(input_shape)

    def lower(self, b: Builder) -> None:
        """Add the layer and the sum."""
        x = b.value
        b.lower(self.layer)
        b.add(x)


def _sum(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Return x + y in a new array: the layer may have kept y for its backward."""
    if not isinstance(x, np.ndarray):  # Dropout lets anything through in inference
        raise TypeError(f"Residual: x must be an array, got {given(x)}")
    if x.shape != y.shape:
        raise ValueError(f"Residual: x has shape {x.shape}, but the layer's output {y.shape}")
    total = empty(y.shape, y.dtype)
    np.add(x, y, out=total)
    return total


@register("MLP", rng=0)
class MLP(Sequential):
    """Multilayer perceptron: `Linear` layers with an activation after all but the last.

    Parameters
    ----------
    sizes : sequence of int
        (in, hidden..., out), at least two.
    activation : str or None
        A name in `kernels.ACTIVATIONS`, such as "relu" or "gelu", applied after every layer but the
        last. None leaves the model linear.
    dtype : float32 or float64
    rng : None, int or numpy.random.Generator
        Source of the initial weights.
    init : str or callable
        How the initial weights are drawn, as in `Linear`.

    Examples
    --------
    >>> model = nn.MLP((64, 128, 10), rng=0)
    >>> model(np.zeros((5, 64), np.float32)).shape
    (5, 10)
    """

    layers: tuple[Linear, ...]
    fields: ClassVar = {
        "sizes": list,
        "activation": (str | list | None, "relu"),  # a list has one per layer, the last included
        "dtype": (str, "float32"),
    }

    def field_values(self) -> dict[str, Any]:
        """Return sizes, activation and dtype; a list of activations if layers were changed."""
        *hidden, last = activations = [layer.activation for layer in self.layers]
        activation = hidden[0] if hidden else self.activation
        is_alike = last is None and hidden.count(activation) == len(hidden)
        return super().field_values() | {"activation": activation if is_alike else activations}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Module:
        """Return the model of these fields; a list of activations is set layer by layer."""
        activations = fields["activation"]
        if not isinstance(activations, list):
            return cls(**fields)
        model = cls(**fields | {"activation": None})
        if len(activations) != len(model):
            raise ValueError(f"{len(activations)} activations do not fit {len(model)} layers")
        for layer, activation in zip(model.layers, activations, strict=True):
            layer.activation = check_activation(activation)
        return model

    @classmethod
    def shapes(cls, fields: dict[str, Any]) -> Shapes:
        """Return the shapes of weight and bias of each layer."""
        names = ("in_features", "out_features")
        same = {"bias": True, "dtype": fields["dtype"]}
        return prefixed(
            {
                str(i): Linear.shapes({**same, **dict(zip(names, sizes, strict=True))})
                for i, sizes in enumerate(pairwise(fields["sizes"]))
            }
        )

    def __init__(
        self,
        sizes: Sequence[int],
        activation: ActivationName | None = "relu",
        *,
        dtype: DTypeLike = np.float32,
        rng: Seed = None,
        init: str | Initializer = "xavier_uniform",
    ) -> None:
        self.sizes = tuple(check_count(f"sizes[{i}]", size) for i, size in enumerate(sizes))
        if len(self.sizes) < 2:
            raise ValueError(f"sizes must be (in, hidden..., out), at least two, got {self.sizes}")
        self.activation = check_activation(activation)
        dtype = check_dtype(dtype)
        rng = check_generator("rng", rng)
        last = len(self.sizes) - 2
        layers = [
            Linear(
                n, m, activation=None if i == last else activation, dtype=dtype, rng=rng, init=init
            )
            for i, (n, m) in enumerate(pairwise(self.sizes))
        ]
        super().__init__(*layers)
