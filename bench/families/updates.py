"""Updates: one step of each optimizer, and of a weight average, over flat arrays.

AdamW and SGD with momentum are those of ``operations``, with sizes beyond every cache as well.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from ..operations import ADAM, Arrays, Operation, Shape, rows

# eps as in ``operations``: larger than the usual 1e-8, so that a gradient of rounding errors moves
# no weight by a visible part of lr.
RMSPROP: dict[str, Any] = {"lr": 1e-3, "alpha": 0.99, "eps": 1e-6}
ADAGRAD: dict[str, Any] = {"lr": 1e-2, "eps": 1e-6}
DECAY = 0.999


def _state_inputs(*names: str) -> Any:
    """Return normal numbers, squared for the running mean "v": a state after some steps."""

    def inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
        arrays = {name: rng.standard_normal(shape, real) for name in names}
        if "v" in arrays:
            arrays["v"] **= 2
        return arrays

    return inputs


# References: the step after the state.


def _adam(p: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, ...]:
    beta1, beta2 = ADAM["betas"]
    p = p - ADAM["lr"] * g / (
        np.abs(g) + ADAM["eps"]
    )  # from zeros, both bias corrections are exact
    return p, (1 - beta1) * g, (1 - beta2) * g * g


def _rmsprop(p: np.ndarray, g: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    v = RMSPROP["alpha"] * v + (1 - RMSPROP["alpha"]) * g * g
    return p - RMSPROP["lr"] * g / (np.sqrt(v) + RMSPROP["eps"]), v


def _adagrad(p: np.ndarray, g: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    v = v + g * g
    return p - ADAGRAD["lr"] * g / (np.sqrt(v) + ADAGRAD["eps"]), v


def _ema(average: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, ...]:
    return (average + (1 - DECAY) * (p - average),)


OPERATIONS: dict[str, Operation] = {
    "adam": rows(("p", "g"), _adam, 12, 7, 10, held=4),
    "rmsprop": rows((), _rmsprop, 9, 5, 10, inputs=_state_inputs("p", "g", "v"), held=3),
    "adagrad": rows((), _adagrad, 7, 5, 10, inputs=_state_inputs("p", "g", "v"), held=3),
    "ema": rows(("average", "p"), _ema, 3, 3, 10, held=2),
}
SMALL, CACHED, LARGE = (5_000,), (100_000,), (10_000_000,)
BOTH = ("float32", "float64")
CASES = [
    ("adamw", [SMALL, CACHED, LARGE], ("float32",)),
    ("adamw", [LARGE], ("float64",)),
    ("adam", [LARGE], ("float32",)),
    ("sgd", [CACHED, LARGE], ("float32",)),
    ("rmsprop", [CACHED, LARGE], ("float32",)),
    ("adagrad", [CACHED, LARGE], ("float32",)),
    ("ema", [CACHED, LARGE], ("float32",)),
]


# fastnn


def _fastnn_adam(inputs: Arrays) -> Any:
    from fastnn import kernels

    p, g = inputs["p"], inputs["g"]
    m, v = np.zeros_like(p), np.zeros_like(p)
    beta1, beta2 = ADAM["betas"]
    rates = {"lr": ADAM["lr"], "beta1": beta1, "beta2": beta2, "eps": ADAM["eps"]}
    steps = count(1)

    def call() -> tuple[np.ndarray, ...]:
        kernels.adam_update(p, g, m, v, step=next(steps), **rates)
        return p, m, v

    return call


def _fastnn_rmsprop(inputs: Arrays) -> Any:
    from fastnn import kernels

    p, g, v = (inputs[name] for name in "pgv")

    def call() -> tuple[np.ndarray, ...]:
        kernels.rmsprop_update(p, g, v, **RMSPROP)
        return p, v

    return call


def _fastnn_adagrad(inputs: Arrays) -> Any:
    from fastnn import kernels

    p, g, v = (inputs[name] for name in "pgv")
    steps = count(1)

    def call() -> tuple[np.ndarray, ...]:
        kernels.adagrad_update(p, g, v, step=next(steps), **ADAGRAD)
        return p, v

    return call


def _fastnn_ema(inputs: Arrays) -> Any:
    from fastnn import kernels

    average, p = inputs["average"], inputs["p"]

    def call() -> tuple[np.ndarray, ...]:
        kernels.ema_update(average, p, DECAY)
        return (average,)

    return call


# NumPy, without new arrays: `work` holds intermediate results.


def _numpy_rmsprop(inputs: Arrays) -> Any:
    p, g, v = (inputs[name] for name in "pgv")
    work = np.empty_like(p)

    def call() -> tuple[np.ndarray, ...]:
        np.multiply(v, RMSPROP["alpha"], out=v)
        np.multiply(g, g, out=work)
        np.multiply(work, 1 - RMSPROP["alpha"], out=work)
        np.add(v, work, out=v)
        return _numpy_divided_step(p, g, v, work, RMSPROP), v

    return call


def _numpy_adagrad(inputs: Arrays) -> Any:
    p, g, v = (inputs[name] for name in "pgv")
    work = np.empty_like(p)

    def call() -> tuple[np.ndarray, ...]:
        np.multiply(g, g, out=work)
        np.add(v, work, out=v)
        return _numpy_divided_step(p, g, v, work, ADAGRAD), v

    return call


def _numpy_divided_step(
    p: np.ndarray, g: np.ndarray, v: np.ndarray, work: np.ndarray, rates: dict[str, Any]
) -> np.ndarray:
    """p -= lr g / (sqrt(v) + eps)"""
    np.sqrt(v, out=work)
    np.add(work, rates["eps"], out=work)
    np.divide(g, work, out=work)
    np.multiply(work, rates["lr"], out=work)
    return np.subtract(p, work, out=p)


def _numpy_ema(inputs: Arrays) -> Any:
    average, p = inputs["average"], inputs["p"]
    work = np.empty_like(p)

    def call() -> tuple[np.ndarray, ...]:
        np.subtract(p, average, out=work)
        np.multiply(work, 1 - DECAY, out=work)
        return (np.add(average, work, out=average),)

    return call


# PyTorch: fused if available on a CPU, else multi-tensor ("foreach").


def _torch_optimizer(make: str, states: dict[str, str], **options: Any) -> Any:
    """Prepare an optimizer; `states` maps its running means to inputs, "" for zeros."""

    def prepare(inputs: Arrays) -> Any:
        import torch

        p = torch.nn.Parameter(torch.from_numpy(inputs["p"]))
        p.grad = torch.from_numpy(inputs["g"])
        optimizer = getattr(torch.optim, make)([p], **options)
        state = optimizer.state[p]
        if make != "Adam":  # which makes its own
            state["step"] = torch.tensor(0.0)
            state |= {name: torch.from_numpy(inputs[start]) for name, start in states.items()}

        def call() -> tuple[Any, ...]:
            optimizer.step()
            return p.detach(), *[state[name] for name in states]

        return call

    return prepare


def _torch_ema(inputs: Arrays) -> Any:
    import torch

    average, p = (torch.from_numpy(inputs[name]) for name in ("average", "p"))

    def call() -> tuple[Any, ...]:
        return (average.lerp_(p, 1 - DECAY),)

    return call


PREPARE = {
    "fastnn": {
        "adam": _fastnn_adam,
        "rmsprop": _fastnn_rmsprop,
        "adagrad": _fastnn_adagrad,
        "ema": _fastnn_ema,
    },
    "numpy": {"rmsprop": _numpy_rmsprop, "adagrad": _numpy_adagrad, "ema": _numpy_ema},
    "torch": {
        "adam": _torch_optimizer("Adam", {"exp_avg": "", "exp_avg_sq": ""}, **ADAM, fused=True),
        "rmsprop": _torch_optimizer("RMSprop", {"square_avg": "v"}, **RMSPROP, foreach=True),
        "adagrad": _torch_optimizer("Adagrad", {"sum": "v"}, **ADAGRAD, fused=True),
        "ema": _torch_ema,
    },
}
