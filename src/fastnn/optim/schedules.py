"""Learning rates over a run: callables from the number of steps taken so far to the next step's lr.

>>> optimizer = AdamW(model.parameters(), lr=warmup_cosine(1e-3, warmup=100, total=5000))

Any function of that form will do. Those here can be compared, copied and pickled, and show what
they were made with. `step` counts from 0; a warm-up rises in equal parts over its first `warmup`
steps, none of which has lr 0, and the step after them, number `warmup`, is the first with the
full lr.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..checks import check_count, check_number

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


def _check_span(warmup: int, total: int) -> None:
    check_count("warmup", warmup, 0)
    check_count("total", total)
    if warmup >= total:
        raise ValueError(f"warmup must be below total, got {warmup} and {total}")


def _rising(step: int, warmup: int) -> float:
    """The part of the full lr during warm-up."""
    return (step + 1) / (warmup + 1)


def _between(start: float, end: float, t: float) -> float:
    """From start at t <= 0 to end at t >= 1 along half a cosine, with both ends exact."""
    weight = 0.5 * (1 + math.cos(math.pi * min(max(t, 0.0), 1.0)))
    return weight * start + (1 - weight) * end


@dataclass(frozen=True)
class constant:
    """The same lr for ever."""

    lr: float

    def __post_init__(self) -> None:
        check_number("lr", self.lr, least=0)

    def __call__(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class linear:
    """After the warm-up straight down from lr to min_lr at step `total`, and so on for ever."""

    lr: float
    total: int
    warmup: int = 0
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        check_number("lr", self.lr, least=0)
        check_number("min_lr", self.min_lr, least=0)
        _check_span(self.warmup, self.total)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * _rising(step, self.warmup)
        t = min((step - self.warmup) / (self.total - self.warmup), 1.0)
        return (1 - t) * self.lr + t * self.min_lr


@dataclass(frozen=True)
class step_decay:
    """lr * factor^k after k times `every` steps."""

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number("lr", self.lr, least=0)
        check_number("factor", self.factor, least=0)
        check_count("every", self.every)

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class multi_step:
    """lr * factor^k from the k-th of the ascending milestones on.

    *Dive into Deep Learning*, section 12.11.3.2.
    """

    lr: float
    milestones: Sequence[int]
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_number("lr", self.lr, least=0)
        check_number("factor", self.factor, least=0)
        object.__setattr__(self, "milestones", tuple(self.milestones))
        for milestone in self.milestones:
            check_count("a milestone", milestone, 0)
        if any(later <= earlier for earlier, later in pairwise(self.milestones)):
            raise ValueError(f"milestones must ascend, got {self.milestones}")

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** bisect_right(self.milestones, step)


@dataclass(frozen=True)
class warmup_cosine:
    """After the warm-up down half a cosine from lr to min_lr at step `total`, and so on for ever.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5, without restarts; nanoGPT's rule.
    """

    lr: float
    warmup: int
    total: int
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        check_number("lr", self.lr, least=0)
        check_number("min_lr", self.min_lr, least=0)
        _check_span(self.warmup, self.total)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * _rising(step, self.warmup)
        return _between(self.lr, self.min_lr, (step - self.warmup) / (self.total - self.warmup))


@dataclass(frozen=True)
class inverse_sqrt:
    """After the warm-up lr * sqrt((warmup + 1) / (step + 1)).

    Without warm-up that is lr / sqrt(step + 1) (*Dive into Deep Learning*, section 12.11.2).
    """

    lr: float
    warmup: int = 0

    def __post_init__(self) -> None:
        check_number("lr", self.lr, least=0)
        check_count("warmup", self.warmup, 0)

    def __call__(self, step: int) -> float:
        part = _rising(step, self.warmup)
        return self.lr * (part if step < self.warmup else 1 / math.sqrt(part))


@dataclass(frozen=True)
class noam:
    """factor * d_model^-0.5 * min(n^-0.5, n * warmup^-1.5), n = step + 1: greatest at n = warmup.

    Vaswani et al., "Attention is all you need", 2017, equation 3.
    """

    d_model: int
    warmup: int
    factor: float = 1.0

    def __post_init__(self) -> None:
        check_count("d_model", self.d_model)
        check_count("warmup", self.warmup)
        check_number("factor", self.factor, least=0)

    def __call__(self, step: int) -> float:
        n = step + 1
        lr: float = self.factor * self.d_model**-0.5 * min(n**-0.5, n * self.warmup**-1.5)
        return lr


@dataclass(frozen=True)
class one_cycle:
    """Up half a cosine from max_lr / div_factor to max_lr, and down another one.

    The top is at step pct_start * total - 1, the end, max_lr / div_factor / final_div_factor, at
    step total - 1, the last; it stays there. Names and values are those of PyTorch's OneCycleLR.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2017.
    """

    max_lr: float
    total: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        check_number("max_lr", self.max_lr, least=0)
        check_count("total", self.total)
        check_number("pct_start", self.pct_start, least=0, below=1.0)
        check_number("div_factor", self.div_factor, above=0)
        check_number("final_div_factor", self.final_div_factor, above=0)

    def __call__(self, step: int) -> float:
        start = self.max_lr / self.div_factor
        top, last = self.pct_start * self.total - 1, self.total - 1
        if step < top:
            return _between(start, self.max_lr, step / top)
        end = start / self.final_div_factor
        return _between(self.max_lr, end, (step - top) / (last - top)) if step < last else end
