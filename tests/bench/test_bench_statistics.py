"""Intervals, the test of two samples, noise, and verdicts from simulated and recorded runs."""

import itertools
import math

import numpy as np
import pytest

from fastnn.bench import statistics as st
from fastnn.bench.cases import cases_of
from fastnn.bench.results import AGAIN, Results, compare

CASES = [case for name in ("gemm", "softmax", "activations") for case in cases_of(name)][:40]


def simulated(seed, advantage=1.3, noise=0.01):
    """A run in which a peer takes `advantage` times as long, processes differ by `noise`."""
    rng, results = np.random.default_rng(seed), Results()
    for i, case in enumerate(CASES):
        row = results.row(case, 1)
        true = 10 ** (i / 10 - 6)
        of = {"fastnn": 1.0, "numpy": advantage * 2 ** (i % 5 / 10), AGAIN: 1.0}
        for name, factor in of.items():
            process = np.exp(noise * rng.standard_normal())
            for _ in range(5):
                seconds = true * factor * process * np.exp(noise * rng.standard_normal(7) / 2)
                row.add(name, {"seconds": list(seconds * 100), "calls": 100, "error": 1.0})
    return results


def test_mann_whitney_of_small_samples_against_all_orders():
    a, b = [1.0, 2.0, 4.0, 5.5, 3.5], [3.0, 6.0, 7.0, 8.0, 9.0, 5.0]
    u = sum(x < y for x in a for y in b)
    both, middle = sorted(a + b), len(a) * len(b) / 2
    ranks = itertools.combinations(range(len(both)), len(a))
    found = [sum(r - i for i, r in enumerate(rank)) for rank in ranks]
    exact = np.mean([abs(x - middle) >= abs(u - middle) for x in found])
    assert st.mann_whitney(a, b) == pytest.approx(exact, abs=0.01)
    assert st.mann_whitney(a, a) == 1
    assert st.mann_whitney([1.0] * 8, [1.0] * 9) == 1
    assert st.mann_whitney(a[:4], [9.0] * 9) == 1  # too few to tell
    assert st.mann_whitney(np.arange(20), np.arange(20) + 30) < 1e-6


def test_interval_holds_the_mean_and_widens_with_noise_and_few_rows():
    ratios = [1.1, 1.3, 1.2, 1.4, 1.25]
    mean = st.geometric_mean(ratios)
    assert mean == pytest.approx(math.prod(ratios) ** (1 / 5))
    low, high = st.interval(ratios)
    assert min(ratios) < low < mean < high < max(ratios)
    wide = st.interval(ratios, 0.3)
    assert wide[0] < low and wide[1] > high
    low, high = st.interval([1.2], 0.1)  # one row says no more than the noise allows
    part = 1.1 ** (1.96 / 2.326)
    assert (low, high) == pytest.approx((1.2 / part, 1.2 * part), rel=0.02)
    assert st.verdict(1.01, 1.2) == "faster" and st.verdict(0.8, 0.99) == "slower"
    assert st.verdict(0.9, 1.1) == "no difference"


def test_noise_is_what_the_second_process_differs_by():
    assert math.isnan(st.noise_of([]))
    assert st.noise_of([1.0] * 20) == st.LEAST_NOISE
    ratios = np.exp(0.05 * np.random.default_rng(0).standard_normal(4000))
    assert st.noise_of(ratios) == pytest.approx(math.expm1(0.05 * 2.326), rel=0.1)


@pytest.mark.parametrize("noise", [0.005, 0.03, 0.1])
def test_fastnn_against_itself_differs_in_few_rows(noise):
    called = total = 0
    for seed in range(20):
        results = simulated(seed, noise=noise)
        for row in results.rows:
            called += row.differs(AGAIN, results.noise)
            total += 1
    assert called < 0.05 * total


def test_a_ratio_is_that_of_turns_in_the_same_weather():
    """A neighbor makes some turns 1.6 times as long, for both libraries, and disturbs blocks."""
    rng, truth = np.random.default_rng(0), 1.25
    errors = {"paired": [], "medians": []}
    for _ in range(200):
        ours, theirs = [], []
        for _ in range(5):
            weather = 1.6 if rng.random() < 0.5 else 1.0
            for turns, seconds in ((ours, 1.0), (theirs, truth)):
                block = seconds * weather * (1 + 0.02 * rng.random(7))
                turns.append(list(block * np.where(rng.random(7) < 0.2, 1.3, 1.0)))
                if rng.random() < 0.15:
                    weather = 2.6 - weather
        medians = [np.median([np.median(turn) for turn in turns]) for turns in (theirs, ours)]
        errors["medians"].append(abs(math.log(medians[0] / medians[1] / truth)))
        errors["paired"].append(abs(math.log(st.paired_ratio(theirs, ours) / truth)))
    assert np.quantile(errors["paired"], 0.9) < 0.05 < np.quantile(errors["medians"], 0.9)


def test_verdicts_are_alike_in_all_runs():
    for advantage, expected in ((1.3, "faster"), (0.5, "slower")):
        runs = [simulated(seed, advantage, noise=0.05).families() for seed in range(10)]
        for families in zip(*runs, strict=True):
            assert sum(f.verdict == expected for f in families) >= 9


def test_compare_finds_what_became_slower_and_nothing_else():
    old, new = simulated(1), simulated(2)
    assert compare(new, old)[1] == len(CASES)
    assert len(compare(new, old)[0]) <= 0.05 * len(CASES)
    slow = new.rows[7]
    slow.times["fastnn"] = [[1.4 * x for x in turn] for turn in slow.times["fastnn"]]
    change = compare(new, old)[0][0]
    assert change.row is slow and change.says == "slower"
    assert change.ratio == pytest.approx(1 / 1.4, rel=0.05)


def test_compare_blames_the_machine_where_the_peers_became_slower_too():
    old, new = simulated(1), simulated(2)
    for row in new.rows:
        row.times = {n: [[1.5 * x for x in t] for t in ts] for n, ts in row.times.items()}
    assert len(compare(new, old)[0]) <= 0.05 * len(CASES)


def test_compare_without_peers_knows_how_far_processes_are_apart():
    old, new = simulated(1, noise=0.05), simulated(2, noise=0.05)
    for row in new.rows:
        del row.times["numpy"]
    assert compare(new, old)[1] == len(CASES)
    assert len(compare(new, old)[0]) <= 0.05 * len(CASES)
    slow = new.rows[3]
    slow.times["fastnn"] = [[2 * x for x in turn] for turn in slow.times["fastnn"]]
    assert compare(new, old)[0][0].row is slow
