"""What the samples say: ratios with intervals, a test of two samples, the noise of the machine."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# A difference is one if chance gives it less often than this, and noise is no larger than it.
SIGNIFICANT = 0.01
RESAMPLES = 2000
# The least noise: clocks and caches are never alike to less than this.
LEAST_NOISE = 0.01
# This part of the A/A rows are within the noise, and a normal deviate is within so many deviations.
WITHIN, DEVIATIONS = 0.98, 2.326


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def interval(values: Sequence[float], noise: float = 0.0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the geometric mean over the values.

    Each resampled value is moved by the noise of this machine as well, so that a few values which
    agree by chance do not promise more than was measured. The resamples are the same in every run.
    """
    logs, rng = np.log(np.asarray(values)), np.random.default_rng(0)
    picks = rng.integers(0, len(logs), (RESAMPLES, len(logs)))
    deviation = math.log1p(0 if math.isnan(noise) else noise) / DEVIATIONS
    moved = logs[picks] + deviation * rng.standard_normal(picks.shape)
    low, high = np.quantile(moved.mean(axis=1), [0.025, 0.975])
    return math.exp(low), math.exp(high)


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p-value of the Mann-Whitney U test.

    By the normal approximation with corrections for ties and continuity, good from five values on
    each side; fewer are never significant.
    """
    n, m = len(a), len(b)
    if min(n, m) < 5:
        return 1.0
    both = np.concatenate((a, b))
    _, at, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    total = n + m
    ties = float((counts**3 - counts).sum()) / (total * (total - 1))
    deviation = math.sqrt(n * m / 12 * (total + 1 - ties))
    if deviation == 0:
        return 1.0
    distance = abs(ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2)
    return math.erfc(max(distance - 0.5, 0) / deviation / math.sqrt(2))


def noise_of(ratios: Sequence[float]) -> float:
    """Return the noise as a fraction: 98 % of the A/A ratios are closer to 1 than this.

    NaN without any: nothing is known then.
    """
    if not len(ratios):
        return math.nan
    return max(LEAST_NOISE, math.expm1(np.quantile(np.abs(np.log(ratios)), WITHIN)))


def low(turn: Sequence[float]) -> float:
    """Return the lower quartile of a turn's blocks: what disturbs a turn only ever adds time."""
    return sorted(turn)[len(turn) // 4]


def quartiles(turn: Sequence[float]) -> list[float]:
    """Return a turn as its lower quartile, median and upper quartile."""
    if len(turn) < 3:
        return list(turn)
    return [low(turn), float(np.median(turn)), sorted(turn)[-1 - len(turn) // 4]]


def paired_ratio(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    """Return the time of a over that of b: the median over turns of the ratio within a turn.

    The turns of two libraries follow each other, so that what slows the machine for seconds slows
    both; medians over all turns would compare other moments.
    """
    return float(np.median([low(x) / low(y) for x, y in zip(a, b, strict=False)]))


def relative(
    a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]
) -> tuple[list[float], list[float]]:
    """Return the samples of a and b, each turn in units of b's time in it."""
    pairs = list(zip(a, b, strict=False))
    return [s / low(y) for x, y in pairs for s in x], [s / low(y) for _, y in pairs for s in y]


def differs(a: Sequence[float], b: Sequence[float], ratio: float | None, noise: float) -> bool:
    """Return True if the ratio is further from 1 than noise, and the samples not by chance."""
    is_far = ratio and abs(math.log(ratio)) > math.log1p(0 if math.isnan(noise) else noise)
    return bool(is_far) and mann_whitney(a, b) < SIGNIFICANT


def verdict(low: float, high: float) -> str:
    """Return what an interval of ratios says about fastnn."""
    if low > 1:
        return "faster"
    return "slower" if high < 1 else "no difference"
