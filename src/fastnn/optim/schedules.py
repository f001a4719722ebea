"""Learning rate schedules: callables from the number of steps so far to the lr of the next step.

>>> optimizer = AdamW(model.parameters(), lr=warmup_cosine(1e-3, warmup=100, total=5000))

Any function with this signature works. The schedules here can be compared, copied and pickled, and
their repr shows their arguments. `step` counts from 0. A warm-up rises linearly over the first
`warmup` steps, none of which has lr 0; step number `warmup` is the first with the full lr.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..checks import check_count, check_number, given
from ..keywords import explained

Schedule = Callable[[int], float]

__all__ = [
    "Schedule",
    "constant",
    "inverse_sqrt",
    "linear",
    "multi_step",
    "noam",
    "one_cycle",
    "step_decay",
    "warmup_cosine",
]


class _Schedule(ABC):
    """A schedule whose arguments are floats, or integers below 2^63."""

    @abstractmethod
    def _rate(self, step: int) -> float:
        """Return the learning rate of a step from 0."""

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        return self._rate(_count("step", step))

    def _take_numbers(self, *names: str, **limits: Any) -> None:
        for name in names:
            object.__setattr__(
                self, name, check_number(name, getattr(self, name), **{"least": 0, **limits})
            )

    def _take_counts(self, least: int, *names: str) -> None:
        for name in names:
            object.__setattr__(self, name, _count(name, getattr(self, name), least))


def _count(name: str, value: Any, least: int = 0) -> int:
    """Return `value` as an int below 2^63; errors mention this bound only if it is exceeded."""
    found = check_count(name, value, least)
    return found if found < 2**63 else check_count(name, value, least, 2**63 - 1)


def _check_span(warmup: int, total: int) -> None:
    if warmup >= total:
        raise ValueError(f"warmup must be below total, got {warmup} and {total}")


def _rising(step: int, warmup: int) -> float:
    """Return the fraction of the full lr during warm-up."""
    return (step + 1) / (warmup + 1)


def _between(start: float, end: float, t: float) -> float:
    """Interpolate from start (t <= 0) to end (t >= 1) along half a cosine, exact at both ends."""
    weight = 0.5 * (1 + math.cos(math.pi * min(max(t, 0.0), 1.0)))
    return weight * start + (1 - weight) * end


def _decayed(lr: float, factor: float, times: int) -> float:
    """Return lr * factor^times; inf, which optimizers reject, if it overflows."""
    try:
        return lr * factor**times if lr else 0.0
    except OverflowError:
        return math.inf


@explained
@dataclass(frozen=True)
class constant(_Schedule):
    """A constant lr.

    Examples
    --------
    >>> optim.schedules.constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        self._take_numbers("lr")

    def _rate(self, step: int) -> float:
        return self.lr


@explained
@dataclass(frozen=True)
class linear(_Schedule):
    """After the warm-up, decrease linearly from lr to min_lr at step `total`, then stay there.

    Examples
    --------
    >>> schedule = optim.schedules.linear(1.0, total=10)
    >>> [round(schedule(step), 3) for step in (0, 5, 10, 20)]
    [1.0, 0.5, 0.0, 0.0]
    """

    lr: float
    total: int
    warmup: int = 0
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        self._take_numbers("lr", "min_lr")
        self._take_counts(0, "warmup")
        self._take_counts(1, "total")
        _check_span(self.warmup, self.total)

    def _rate(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * _rising(step, self.warmup)
        t = min((step - self.warmup) / (self.total - self.warmup), 1.0)
        return (1 - t) * self.lr + t * self.min_lr


@explained
@dataclass(frozen=True)
class step_decay(_Schedule):
    """lr * factor^k after k * every steps.

    Examples
    --------
    >>> schedule = optim.schedules.step_decay(1.0, every=10, factor=0.5)
    >>> [schedule(step) for step in (0, 10, 25)]
    [1.0, 0.5, 0.25]
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._take_numbers("lr", "factor")
        self._take_counts(1, "every")

    def _rate(self, step: int) -> float:
        return _decayed(self.lr, self.factor, step // self.every)


@explained
@dataclass(frozen=True)
class multi_step(_Schedule):
    """lr * factor^k from the k-th of the ascending milestones on.

    *Dive into Deep Learning*, section 12.11.3.2.

    Examples
    --------
    >>> schedule = optim.schedules.multi_step(1.0, milestones=[3, 6])
    >>> [round(schedule(step), 3) for step in (0, 3, 6)]
    [1.0, 0.1, 0.01]
    """

    lr: float
    milestones: Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._take_numbers("lr", "factor")
        if isinstance(self.milestones, str) or not isinstance(self.milestones, Iterable):
            raise TypeError(f"milestones must be integers, got {given(self.milestones)}")
        milestones = tuple(_count("a milestone", milestone) for milestone in self.milestones)
        object.__setattr__(self, "milestones", milestones)
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise ValueError(f"milestones must ascend, got {self.milestones}")

    def _rate(self, step: int) -> float:
        return _decayed(self.lr, self.factor, bisect_right(self.milestones, step))


@explained
@dataclass(frozen=True)
class warmup_cosine(_Schedule):
    """After the warm-up, follow half a cosine from lr to min_lr at step `total`, then stay there.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5, without restarts; nanoGPT's rule.

    Examples
    --------
    >>> schedule = optim.schedules.warmup_cosine(1.0, warmup=4, total=104)
    >>> [round(schedule(step), 3) for step in (0, 4, 54, 104)]
    [0.2, 1.0, 0.5, 0.0]
    """

    lr: float
    warmup: int
    total: int
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        self._take_numbers("lr", "min_lr")
        self._take_counts(0, "warmup")
        self._take_counts(1, "total")
        _check_span(self.warmup, self.total)

    def _rate(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * _rising(step, self.warmup)
        return _between(self.lr, self.min_lr, (step - self.warmup) / (self.total - self.warmup))


@explained
@dataclass(frozen=True)
class inverse_sqrt(_Schedule):
    """After the warm-up, lr * sqrt((warmup + 1) / (step + 1)).

    Without warm-up this is lr / sqrt(step + 1) (*Dive into Deep Learning*, section 12.11.2).

    Examples
    --------
    >>> schedule = optim.schedules.inverse_sqrt(1.0, warmup=3)
    >>> [round(schedule(step), 3) for step in (0, 1, 3, 15)]
    [0.25, 0.5, 1.0, 0.5]
    """

    lr: float
    warmup: int = 0

    def __post_init__(self) -> None:
        self._take_numbers("lr")
        self._take_counts(0, "warmup")

    def _rate(self, step: int) -> float:
        part = _rising(step, self.warmup)
        return self.lr * (part if step < self.warmup else 1 / math.sqrt(part))


@explained
@dataclass(frozen=True)
class noam(_Schedule):
    """factor * d_model^-0.5 * min(n^-0.5, n * warmup^-1.5), n = step + 1; maximal at n = warmup.

    Vaswani et al., "Attention is all you need", 2017, equation 3.

    Examples
    --------
    >>> schedule = optim.schedules.noam(d_model=100, warmup=4)
    >>> [round(schedule(step), 3) for step in (0, 3, 15)]
    [0.013, 0.05, 0.025]
    """

    d_model: int
    warmup: int
    factor: float = 1.0

    def __post_init__(self) -> None:
        self._take_counts(1, "d_model", "warmup")
        self._take_numbers("factor")

    def _rate(self, step: int) -> float:
        n = step + 1
        lr: float = self.factor * self.d_model**-0.5 * min(n**-0.5, n * self.warmup**-1.5)
        return lr


@explained
@dataclass(frozen=True)
class one_cycle(_Schedule):
    """Rise along half a cosine from max_lr / div_factor to max_lr, then fall along another.

    The maximum is at step pct_start * total - 1. The end, max_lr / div_factor / final_div_factor,
    is at the last step, total - 1, and stays. Names and values are those of PyTorch's OneCycleLR.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2017.

    Examples
    --------
    >>> schedule = optim.schedules.one_cycle(1.0, total=100)
    >>> [round(schedule(step), 3) for step in (0, 29, 99)]
    [0.04, 1.0, 0.0]
    """

    max_lr: float
    total: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        self._take_counts(1, "total")
        self._take_numbers("max_lr")
        self._take_numbers("pct_start", below=1.0)
        self._take_numbers("div_factor", "final_div_factor", above=0)
        check_number("max_lr / div_factor", self._start)
        check_number("max_lr / div_factor / final_div_factor", self._start / self.final_div_factor)

    @property
    def _start(self) -> float:
        return self.max_lr / self.div_factor

    def _rate(self, step: int) -> float:
        start = self._start
        top, last = self.pct_start * self.total - 1, self.total - 1
        if step < top:
            return _between(start, self.max_lr, step / top)
        end = start / self.final_div_factor
        return _between(self.max_lr, end, (step - top) / (last - top)) if step < last else end
