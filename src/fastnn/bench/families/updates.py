"""Updates: one step of each optimizer, and of a weight average, over flat arrays."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from ..operations import ADAM, Arrays, Call, Operation, Prepare, Shape, rows, tensors

ADAMW_DECAY = 1e-2
SGD: dict[str, Any] = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}
# eps as in ADAM: larger than the usual 1e-8, so that a gradient of rounding errors moves no weight
# by a visible part of lr.
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


# References: the first step of Adam and SGD, from a state of zeros; the step after the state.


def adam_step(p: np.ndarray, g: np.ndarray, decay: float = 0.0) -> tuple[Any, ...]:
    beta1, beta2 = ADAM["betas"]
    p = p * (1 - ADAM["lr"] * decay) - ADAM["lr"] * g / (np.abs(g) + ADAM["eps"])
    return p, (1 - beta1) * g, (1 - beta2) * g * g


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


OPERATIONS: dict[str, Operation] = {
    "adamw": rows(("p", "g"), lambda p, g: adam_step(p, g, ADAMW_DECAY), 14, 7, 10, held=4),
    "adam": rows(("p", "g"), adam_step, 12, 7, 10, held=4),
    "sgd": rows(("p", "g"), _sgd, 6, 5, 10, held=3),
    "rmsprop": rows((), _rmsprop, 9, 5, 10, inputs=_state_inputs("p", "g", "v"), held=3),
    "adagrad": rows((), _adagrad, 7, 5, 10, inputs=_state_inputs("p", "g", "v"), held=3),
    "ema": rows(("average", "p"), _ema, 3, 3, 10, held=2),
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


def _fastnn(name: str, *arrays: str, zeros: str = "", steps: bool = False, **rates: Any) -> Prepare:
    """Prepare ``kernels.NAME(*arrays, *zeros, **rates)``, which changes all but the gradient."""

    def prepare(inputs: Arrays) -> Call:
        from fastnn import kernels

        function, numbers = getattr(kernels, name), count(1)
        given = [inputs[a] for a in arrays] + [np.zeros_like(inputs["p"]) for _ in zeros]
        results = tuple(x for x, a in zip(given, (*arrays, *zeros), strict=True) if a != "g")

        def call() -> tuple[Any, ...]:
            more = {"step": next(numbers)} if steps else {}
            function(*given, **more, **rates)
            return results

        return call

    return prepare


_BETAS = {
    "lr": ADAM["lr"],
    "eps": ADAM["eps"],
    "beta1": ADAM["betas"][0],
    "beta2": ADAM["betas"][1],
}


def _fastnn_ema(inputs: Arrays) -> Call:
    from fastnn import kernels

    average, p = inputs["average"], inputs["p"]

    def call() -> tuple[Any, ...]:
        kernels.ema_update(average, p, DECAY)
        return (average,)

    return call


# NumPy, without new arrays: `work` holds intermediate results.


class NumpyAdam:
    """Take an Adam step over one array, in place, with two scratch arrays."""

    def __init__(self, p: np.ndarray, g: np.ndarray, decay: float = 0.0) -> None:
        self.p, self.g, self.decay = p, g, decay
        self.m, self.v = np.zeros_like(p), np.zeros_like(p)
        self.s, self.t = np.empty_like(p), np.empty_like(p)
        self.steps = count(1)

    def step(self) -> tuple[Any, ...]:
        p, g, m, v, s, t = self.p, self.g, self.m, self.v, self.s, self.t
        (beta1, beta2), step = ADAM["betas"], next(self.steps)
        if self.decay:
            np.multiply(p, 1 - ADAM["lr"] * self.decay, out=p)
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


def _numpy_sgd(inputs: Arrays) -> Call:
    p, g = inputs["p"], inputs["g"]
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


def _numpy_divided(rates: dict[str, Any]) -> Prepare:
    """Prepare v = decayed v + g g, p -= lr g / (sqrt(v) + eps): RMSProp and Adagrad."""

    def prepare(inputs: Arrays) -> Call:
        p, g, v = (inputs[name] for name in "pgv")
        work = np.empty_like(p)

        def call() -> tuple[Any, ...]:
            np.multiply(g, g, out=work)
            if "alpha" in rates:
                np.multiply(v, rates["alpha"], out=v)
                np.multiply(work, 1 - rates["alpha"], out=work)
            np.add(v, work, out=v)
            np.sqrt(v, out=work)
            np.add(work, rates["eps"], out=work)
            np.divide(g, work, out=work)
            np.multiply(work, rates["lr"], out=work)
            np.subtract(p, work, out=p)
            return p, v

        return call

    return prepare


def _numpy_ema(inputs: Arrays) -> Call:
    average, p = inputs["average"], inputs["p"]
    work = np.empty_like(p)

    def call() -> tuple[Any, ...]:
        np.subtract(p, average, out=work)
        np.multiply(work, 1 - DECAY, out=work)
        return (np.add(average, work, out=average),)

    return call


# PyTorch: fused if available on a CPU, else multi-tensor ("foreach").


def _torch_optimizer(make: str, states: dict[str, str], **options: Any) -> Prepare:
    """Prepare an optimizer; `states` maps its running means to inputs, "" for zeros."""

    def prepare(inputs: Arrays) -> Call:
        import torch

        p, g = tensors(inputs, "p", "g")
        p = torch.nn.Parameter(p)
        p.grad = g
        optimizer = getattr(torch.optim, make)([p], **options)
        state = optimizer.state[p]
        if all(states.values()):  # others make their own
            state["step"] = torch.tensor(0.0)
            state |= {name: torch.from_numpy(inputs[start]) for name, start in states.items()}

        def call() -> tuple[Any, ...]:
            optimizer.step()
            return p.detach(), *[state[name] for name in states]

        return call

    return prepare


def _torch_ema(inputs: Arrays) -> Call:
    average, p = tensors(inputs, "average", "p")
    return lambda: (average.lerp_(p, 1 - DECAY),)


_MOMENTS = {"exp_avg": "", "exp_avg_sq": ""}
PREPARE: dict[str, dict[str, Prepare]] = {
    "fastnn": {
        "adamw": _fastnn(
            "adamw_update", "p", "g", zeros="mv", steps=True, weight_decay=ADAMW_DECAY, **_BETAS
        ),
        "adam": _fastnn("adam_update", "p", "g", zeros="mv", steps=True, **_BETAS),
        "sgd": _fastnn("sgd_update", "p", "g", zeros="m", **SGD),
        "rmsprop": _fastnn("rmsprop_update", "p", "g", "v", **RMSPROP),
        "adagrad": _fastnn("adagrad_update", "p", "g", "v", steps=True, **ADAGRAD),
        "ema": _fastnn_ema,
    },
    "numpy": {
        "adamw": lambda inputs: NumpyAdam(inputs["p"], inputs["g"], ADAMW_DECAY).step,
        "adam": lambda inputs: NumpyAdam(inputs["p"], inputs["g"]).step,
        "sgd": _numpy_sgd,
        "rmsprop": _numpy_divided(RMSPROP),
        "adagrad": _numpy_divided(ADAGRAD),
        "ema": _numpy_ema,
    },
    "torch": {
        "adamw": _torch_optimizer("AdamW", _MOMENTS, **ADAM, weight_decay=ADAMW_DECAY, fused=True),
        "adam": _torch_optimizer("Adam", _MOMENTS, **ADAM, fused=True),
        "sgd": _torch_optimizer("SGD", {"momentum_buffer": ""}, **SGD, fused=True),
        "rmsprop": _torch_optimizer("RMSprop", {"square_avg": "v"}, **RMSPROP, foreach=True),
        "adagrad": _torch_optimizer("Adagrad", {"sum": "v"}, **ADAGRAD, fused=True),
        "ema": _torch_ema,
    },
}
