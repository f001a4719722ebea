"""What every layer and model can do, and the contract of a hand-written backward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .parameters import Parameter, Parameters


class Module(ABC):
    """A layer, or a model made of layers.

    A subclass writes `forward` and `backward` side by side and hands its parameters and parts to
    `__init__`::

        y, ctx = layer.forward(x)        # training: ctx is what backward needs, owned by the caller
        dx = layer.backward(dy, ctx)     # adds to each parameter's grad, returns the gradient of x
        y = layer(x)                     # inference: nothing is kept

    Nothing is kept on the layer, so one layer may occur twice in a model, be called re-entrantly,
    and be called from several threads. Backward passes in several threads at once add to the same
    gradients and need a lock.

    Parameters
    ----------
    parts : mapping of str to Parameter or Module
        In the order of the flat arrays. The parameters of a module named "0" are called "0.weight"
        and so on.
    """

    def __init__(self, parts: Mapping[str, Parameter | Module]) -> None:
        self._named: dict[str, Parameter] = {}
        for name, part in parts.items():
            if isinstance(part, Parameter):
                self._named[name] = part
            else:
                self._named.update({f"{name}.{inner}": p for inner, p in part._named.items()})
        self._parameters = Parameters(self._named)
        self._named = dict(self._parameters.named())

    @abstractmethod
    def forward(self, x: NDArray[Any]) -> tuple[NDArray[Any], Any]:
        """The output for x, and the context for `backward`; until then x must stay unchanged."""

    @abstractmethod
    def backward(self, dy: NDArray[Any], ctx: Any, need_dx: bool = True) -> NDArray[Any] | None:
        """Add the gradients of the parameters to their `grad`; return the gradient of x.

        dy is the gradient of the output of the `forward` that returned ctx, and is left unchanged.
        With `need_dx=False` (the first layer of a model in training) the gradient of x is not
        computed, and None returned.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What `nn.build` needs to make the same architecture again, as values that JSON has."""

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """The output for x, keeping nothing."""
        return self.forward(x)[0]

    def parameters(self) -> Parameters:
        """All parameters. Those of a part of a model are a stretch of the model's flat arrays.

        Raises
        ------
        RuntimeError
            Another model took some of the parameters over, so they lie in no one flat array any
            more.
        """
        if self._parameters.moved:
            self._parameters = Parameters._where_they_are(self._named)
        return self._parameters

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to zero."""
        self.parameters().zero_grad()

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of every parameter's values by name, such as "0.weight"."""
        return {name: parameter.data.copy() for name, parameter in self._named.items()}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Copy values into the parameters, all or (on any error) none.

        Parameters
        ----------
        state : mapping of str to ndarray
            As from `state()`: exactly the names, shapes and dtype of this model.

        Raises
        ------
        ValueError
            Names are missing or unexpected, or a shape differs; the message names them.
        TypeError
            An array has another dtype than the model.
        """
        missing = [name for name in self._named if name not in state]
        unexpected = [name for name in state if name not in self._named]
        if missing or unexpected:
            problems = [f"missing {missing}"] * bool(missing)
            problems += [f"unexpected {unexpected}"] * bool(unexpected)
            raise ValueError(f"the state does not fit this model: {' and '.join(problems)}")
        arrays = {name: np.asarray(state[name]) for name in self._named}
        for name, parameter in self._named.items():
            if arrays[name].shape != parameter.data.shape:
                raise ValueError(
                    f"{name!r} has shape {arrays[name].shape} in the state, "
                    f"{parameter.data.shape} in this model"
                )
            if arrays[name].dtype != parameter.data.dtype:
                raise TypeError(
                    f"{name!r} is {arrays[name].dtype} in the state, "
                    f"{parameter.data.dtype} in this model"
                )
        for name, parameter in self._named.items():
            parameter.data[...] = arrays[name]

    def freeze(self, batch_max: int = 1024) -> kernels.Plan:
        """The model as it is now, made for inference alone: see `fastnn.nn.freeze`."""
        from .freeze import freeze

        return freeze(self, batch_max)

    def __repr__(self) -> str:
        config = self.config()
        kind = config.pop("type")
        return f"{kind}({', '.join(f'{key}={value!r}' for key, value in config.items())})"


def check_gradient(layer: str, dy: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise ValueError, naming both shapes, unless dy has the shape of the layer's output."""
    if dy.shape != shape:
        raise ValueError(
            f"{layer}: dy has shape {dy.shape}, but the output of this forward pass had {shape}"
        )
