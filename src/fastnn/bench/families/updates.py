"""Updates: one step of each optimizer, and of a weight average, over flat arrays."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import Any

import numpy as np

from ..operations import ADAM, Arrays, Call, Operation, Shape, normal
from ..reference import adam

ADAMW_DECAY = 1e-2
SGD: dict[str, Any] = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}
# eps as in ADAM: larger than the usual 1e-8, so that a gradient of rounding errors moves no weight
# by a visible part of lr.
RMSPROP: dict[str, Any] = {"lr": 1e-3, "alpha": 0.99, "eps": 1e-6}
ADAGRAD: dict[str, Any] = {"lr": 1e-2, "eps": 1e-6}
DECAY = 0.999


def _state_inputs(shape: Shape, real: Any, rng: np.random.Generator) -> Arrays:
    """Return a state after some steps: v is a running mean of squares."""
    arrays = normal("p", "g", "v")(shape, real, rng)
    arrays["v"] **= 2
    return arrays


# References: the first step of Adam and SGD, from a state of zeros; the step after the state.


def _sgd(p: np.ndarray, g: np.ndarray) -> tuple[Any, ...]:
    m = g + SGD["weight_decay"] * p
    return p - SGD["lr"] * m, m


def _rmsprop(p: np.ndarray, g: np.ndarray, v: np.ndarray) -> tuple[Any, ...]:
    v = RMSPROP["alpha"] * v + (1 - RMSPROP["alpha"]) * g * g
    return p - RMSPROP["lr"] * g / (np.sqrt(v) + RMSPROP["eps"]), v


def _adagrad(p: np.ndarray, g: np.ndarray, v: np.ndarray) -> tuple[Any, ...]:
    v = v + g * g
    return p - ADAGRAD["lr"] * g / (np.sqrt(v) + ADAGRAD["eps"]), v


def _ema(average: np.ndarray, p: np.ndarray) -> tuple[Any, ...]:
    return (average + (1 - DECAY) * (p - average),)


_PG = normal("p", "g")
OPERATIONS = {
    "adamw": Operation(_PG, partial(adam, decay=ADAMW_DECAY), 14, 7, 10, held=4),
    "adam": Operation(_PG, adam, 12, 7, 10, held=4),
    "sgd": Operation(_PG, _sgd, 6, 5, 10, held=3),
    "rmsprop": Operation(_state_inputs, _rmsprop, 9, 5, 10, held=3),
    "adagrad": Operation(_state_inputs, _adagrad, 7, 5, 10, held=3),
    "ema": Operation(normal("average", "p"), _ema, 3, 3, 10, held=2),
}
SMALL, CACHED, MIDDLE, LARGE = (5_000,), (100_000,), (1_000_000,), (10_000_000,)
CASES = [
    ("quick", "adamw", [MIDDLE]),
    ("default", "adamw", [SMALL, MIDDLE]),
    ("default", "adamw", [MIDDLE], ("float64",)),
    *(("default", name, [MIDDLE]) for name in ("sgd", "rmsprop", "adagrad", "ema")),
    ("full", "adamw", [SMALL, CACHED, LARGE]),
    ("full", "adamw", [LARGE], ("float64",)),
    ("full", "adam", [LARGE]),
    *(("full", name, [CACHED, LARGE]) for name in ("sgd", "rmsprop", "adagrad", "ema")),
]


def _fastnn(
    name: str, zeros: str = "", *more: Any, steps: bool = False, given: str = "g", **rates: Any
) -> Any:
    """Return the maker of ``kernels.NAME(*arrays, *zeros, *more, **rates)``; `given` stays."""

    def make(kernels: Any, inputs: Arrays) -> Call:
        function, numbers = getattr(kernels, name), count(1)
        arrays = {**inputs, **{zero: np.zeros_like(inputs["p"]) for zero in zeros}}
        positional = *arrays.values(), *more
        results = tuple(x for n, x in arrays.items() if n != given)

        def call() -> tuple[Any, ...]:
            step = {"step": next(numbers)} if steps else {}
            function(*positional, **step, **rates)
            return results

        return call

    return make


# NumPy, without new arrays: s and t hold intermediate results.


def numpy_adam(np: Any, p: Any, g: Any, decay: float = 0.0) -> Call:
    m, v, s, t = np.zeros_like(p), np.zeros_like(p), np.empty_like(p), np.empty_like(p)
    (beta1, beta2), steps = ADAM["betas"], count(1)

    def call() -> tuple[Any, ...]:
        step = next(steps)
        if decay:
            np.multiply(p, 1 - ADAM["lr"] * decay, out=p)
        np.multiply(m, beta1, out=m)
        np.multiply(g, 1 - beta1, out=s)
        np.add(m, s, out=m)
        np.multiply(v, beta2, out=v)
        np.multiply(g, g, out=s)
        np.multiply(s, 1 - beta2, out=s)
        np.add(v, s, out=v)
        np.divide(v, 1 - beta2**step, out=s)
        np.sqrt(s, out=s)
        np.add(s, ADAM["eps"], out=s)
        np.multiply(m, ADAM["lr"] / (1 - beta1**step), out=t)
        np.divide(t, s, out=t)
        np.subtract(p, t, out=p)
        return p, m, v

    return call


def _numpy_sgd(np: Any, p: Any, g: Any) -> Call:
    m, s = np.zeros_like(p), np.empty_like(p)

    def call() -> tuple[Any, ...]:
        np.multiply(m, SGD["momentum"], out=m)
        np.add(m, g, out=m)
        np.multiply(p, SGD["weight_decay"], out=s)
        np.add(m, s, out=m)
        np.multiply(m, SGD["lr"], out=s)
        np.subtract(p, s, out=p)
        return p, m

    return call


def _numpy_divided(np: Any, p: Any, g: Any, v: Any, rates: Any = RMSPROP) -> Call:
    """Prepare v = decayed v + g g, p -= lr g / (sqrt(v) + eps): RMSProp and Adagrad."""
    s = np.empty_like(p)

    def call() -> tuple[Any, ...]:
        np.multiply(g, g, out=s)
        if "alpha" in rates:
            np.multiply(v, rates["alpha"], out=v)
            np.multiply(s, 1 - rates["alpha"], out=s)
        np.add(v, s, out=v)
        np.sqrt(v, out=s)
        np.add(s, rates["eps"], out=s)
        np.divide(g, s, out=s)
        np.multiply(s, rates["lr"], out=s)
        np.subtract(p, s, out=p)
        return p, v

    return call


def _numpy_ema(np: Any, average: Any, p: Any) -> Call:
    s = np.empty_like(p)

    def call() -> tuple[Any, ...]:
        np.subtract(p, average, out=s)
        np.multiply(s, 1 - DECAY, out=s)
        return (np.add(average, s, out=average),)

    return call


def _torch(make: str, states: dict[str, str], **options: Any) -> Any:
    """Return the maker of an optimizer: fused if available on a CPU, else multi-tensor.

    `states` maps its running means to inputs, "" for zeros.
    """

    def prepare(torch: Any, inputs: Arrays) -> Call:
        t = {name: torch.from_numpy(x) for name, x in inputs.items()}
        p = torch.nn.Parameter(t["p"])
        p.grad = t["g"]
        optimizer = getattr(torch.optim, make)([p], **options)
        state = optimizer.state[p]
        if all(states.values()):  # others make their own
            state["step"] = torch.tensor(0.0)
            state |= {name: t[start] for name, start in states.items()}

        def call() -> tuple[Any, ...]:
            optimizer.step()
            return p.detach(), *[state[name] for name in states]

        return call

    return prepare


_BETAS = dict(zip(("beta1", "beta2"), ADAM["betas"], strict=True))
_RATES = {"lr": ADAM["lr"], "eps": ADAM["eps"], **_BETAS}
_MOMENTS = {"exp_avg": "", "exp_avg_sq": ""}
PREPARE: dict[str, dict[str, Any]] = {
    "fastnn": {
        "adamw": _fastnn("adamw_update", "mv", steps=True, weight_decay=ADAMW_DECAY, **_RATES),
        "adam": _fastnn("adam_update", "mv", steps=True, **_RATES),
        "sgd": _fastnn("sgd_update", "m", **SGD),
        "rmsprop": _fastnn("rmsprop_update", **RMSPROP),
        "adagrad": _fastnn("adagrad_update", steps=True, **ADAGRAD),
        "ema": _fastnn("ema_update", "", DECAY, given="p"),
    },
    "numpy": {
        "adamw": partial(numpy_adam, decay=ADAMW_DECAY),
        "adam": numpy_adam,
        "sgd": _numpy_sgd,
        "rmsprop": _numpy_divided,
        "adagrad": partial(_numpy_divided, rates=ADAGRAD),
        "ema": _numpy_ema,
    },
    "torch": {
        "adamw": _torch("AdamW", _MOMENTS, **ADAM, weight_decay=ADAMW_DECAY, fused=True),
        "adam": _torch("Adam", _MOMENTS, **ADAM, fused=True),
        "sgd": _torch("SGD", {"momentum_buffer": ""}, **SGD, fused=True),
        "rmsprop": _torch("RMSprop", {"square_avg": "v"}, **RMSPROP, foreach=True),
        "adagrad": _torch("Adagrad", {"sum": "v"}, **ADAGRAD, fused=True),
        "ema": lambda torch, average, p: lambda: (average.lerp_(p, 1 - DECAY),),
    },
}
