"""Schedules at the points their descriptions name, against formulas and PyTorch; bad arguments."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

from fastnn import nn, optim
from fastnn.optim import schedules

ALL = [
    schedules.constant(0.1),
    schedules.linear(0.1, 50, warmup=5, min_lr=0.01),
    schedules.step_decay(0.1, 10, 0.5),
    schedules.multi_step(0.1, [3, 8], 0.5),
    schedules.warmup_cosine(0.1, 5, 50, min_lr=0.01),
    schedules.inverse_sqrt(0.1, 5),
    schedules.noam(512, 40),
    schedules.one_cycle(0.1, 50),
]
IDS = [type(schedule).__name__ for schedule in ALL]


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_every_lr_is_a_number_above_zero(schedule):
    values = [schedule(step) for step in range(200)]
    assert all(isinstance(value, float) and 0 < value <= 0.1 for value in values)


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_can_be_copied_pickled_and_read(schedule):
    for twin in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert twin == schedule and twin(7) == schedule(7)
    assert repr(schedule).startswith(type(schedule).__name__ + "(")


def test_every_name_is_tested_and_listed():
    assert sorted(schedules.__all__) == sorted([*IDS, "Schedule"])


@pytest.mark.parametrize(
    "schedule",
    [schedules.linear(0.8, 10, warmup=3), schedules.warmup_cosine(0.8, 3, 10, min_lr=0.1)],
)
def test_warm_up_top_and_end(schedule):
    assert [schedule(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert schedule(3) == 0.8
    later = [schedule(step) for step in range(3, 11)]
    assert later == sorted(later, reverse=True) and len(set(later)) == 8
    assert schedule(10) == schedule(11) == schedule(10**9) == schedule.min_lr


def test_linear_and_cosine_half_way():
    assert schedules.linear(1.0, 100, warmup=20, min_lr=0.5)(60) == pytest.approx(0.75)
    assert schedules.warmup_cosine(1.0, 20, 100, min_lr=0.5)(60) == pytest.approx(0.75)
    quarter = 0.5 + 0.25 * (1 + math.cos(math.pi / 4))
    assert schedules.warmup_cosine(1.0, 20, 100, min_lr=0.5)(40) == pytest.approx(quarter)
    assert schedules.warmup_cosine(1.0, 0, 100)(0) == 1
    assert schedules.linear(1.0, 100)(0) == 1


def test_steps():
    schedule = schedules.step_decay(1.0, 10, 0.5)
    assert [schedule(step) for step in (0, 9, 10, 19, 20)] == [1, 1, 0.5, 0.5, 0.25]
    schedule = schedules.multi_step(1.0, [15, 30], 0.5)
    assert [schedule(step) for step in (0, 14, 15, 29, 30, 99)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_inverse_square_root():
    schedule = schedules.inverse_sqrt(1.0, warmup=3)
    assert [schedule(step) for step in (0, 1, 2, 3)] == [0.25, 0.5, 0.75, 1]
    assert schedule(15) == pytest.approx(0.5)
    assert schedules.inverse_sqrt(1.0)(24) == pytest.approx(0.2)


def test_noam_as_published():
    schedule = schedules.noam(512, 4000, factor=2.0)
    for n in (1, 100, 3999, 4000, 4001, 10**6):
        assert schedule(n - 1) == pytest.approx(2 / math.sqrt(512) * min(n**-0.5, n * 4000**-1.5))
    assert max(range(10_000), key=schedule) == 3999


@pytest.mark.parametrize(("total", "options"), [(10, {}), (100, {"pct_start": 0.1}), (37, {})])
def test_one_cycle_against_pytorch(total, options):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        sgd, 0.5, total_steps=total, cycle_momentum=False, **options
    )
    ours = schedules.one_cycle(0.5, total, **options)
    for step in range(total):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        sgd.step()
        if step + 1 < total:
            theirs.step()


def test_one_cycle():
    schedule = schedules.one_cycle(1.0, 101, pct_start=0.5, div_factor=10, final_div_factor=100)
    assert schedule(0) == pytest.approx(0.1)
    assert max(schedule(step) for step in range(101)) == pytest.approx(1, rel=1e-3)
    assert schedule(100) == schedule(1000) == pytest.approx(0.001)
    for total in (1, 2, 3):  # the top may lie before the first step
        assert schedules.one_cycle(1.0, total, pct_start=0.0)(total - 1) == pytest.approx(4e-6)


def test_cosine_against_pytorch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 20, eta_min=0.05)
    ours = schedules.warmup_cosine(0.3, 0, 20, min_lr=0.05)
    for step in range(21):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        sgd.step()
        theirs.step()


def test_an_optimizer_follows_its_schedule():
    layer = nn.Linear(1, 1, bias=False, dtype="f8", rng=0)
    schedule = schedules.step_decay(1.0, 2, 0.5)
    optimizer = optim.SGD(layer.parameters(), lr=schedule)
    layer.weight.grad.fill(1)
    start, values = layer.weight.data.item(), []
    for _ in range(5):
        optimizer.step()
        values.append(layer.weight.data.item())
    np.testing.assert_allclose(np.diff([start, *values]), [-1, -1, -0.5, -0.5, -0.25])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.constant(-1), ValueError, "lr must be at least 0"),
        (lambda: schedules.constant("1"), TypeError, "lr must be a number, got str '1'"),
        (lambda: schedules.linear(0.1, 0), ValueError, "total must be at least 1, got 0"),
        (lambda: schedules.linear(0.1, 5, warmup=5), ValueError, "warmup must be below total"),
        (lambda: schedules.linear(0.1, 5.0), TypeError, "total must be an integer, got float 5.0"),
        (lambda: schedules.step_decay(0.1, 0), ValueError, "every must be at least 1"),
        (lambda: schedules.step_decay(0.1, 1, -1), ValueError, "factor must be at least 0"),
        (lambda: schedules.multi_step(0.1, [3, 3]), ValueError, r"must ascend, got \(3, 3\)"),
        (lambda: schedules.multi_step(0.1, [0.5]), TypeError, "a milestone must be an integer"),
        (lambda: schedules.warmup_cosine(0.1, 9, 9), ValueError, "got 9 and 9"),
        (lambda: schedules.warmup_cosine(0.1, -1, 9), ValueError, "warmup must be at least 0"),
        (lambda: schedules.warmup_cosine(0.1, 1, 9, math.nan), ValueError, "min_lr"),
        (lambda: schedules.inverse_sqrt(0.1, True), TypeError, "warmup must be an integer"),
        (lambda: schedules.noam(0, 10), ValueError, "d_model must be at least 1"),
        (lambda: schedules.noam(8, 0), ValueError, "warmup must be at least 1"),
        (lambda: schedules.one_cycle(0.1, 9, pct_start=1), ValueError, "pct_start"),
        (lambda: schedules.one_cycle(0.1, 9, div_factor=0), ValueError, "div_factor"),
    ],
)
def test_arguments_out_of_range_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_any_step_gives_a_float_and_wrong_ones_are_named(schedule):
    for step in (0, 10**7, 10**15, 2**53 + 1, 2**63 - 1, np.int32(2**31 - 1), np.uint8(255)):
        value = schedule(step)
        assert type(value) is float and math.isfinite(value) and value >= 0
    for step, error in ((1.5, TypeError), ("1", TypeError), (None, TypeError), (True, TypeError)):
        with pytest.raises(error, match="step must be an integer"):
            schedule(step)
    for step in (-1, 2**63, 10**400):
        with pytest.raises(ValueError, match="step must be"):
            schedule(step)


@pytest.mark.parametrize("schedule", ALL, ids=IDS)
def test_every_number_is_a_float_or_bounded(schedule):
    """Of whatever type it was given: integers have no powers or sums of their own any more."""
    fields = {f.name: getattr(schedule, f.name) for f in dataclasses.fields(schedule)}
    for name, value in fields.items():
        make = lambda new, name=name: type(schedule)(**fields | {name: new})  # noqa: E731
        if isinstance(value, float):
            for scalar in (np.float32(0.5), np.float64(0.5)):
                assert type(getattr(make(scalar), name)) is float
            wrong = (math.nan, math.inf, -1.0, 10**400, "1", None, True, np.ones(1), 1j)
        elif isinstance(value, int):
            assert type(getattr(make(np.int32(value)), name)) is int
            assert make(np.uint16(value)) == schedule
            wrong = (2**63, 10**400, -1, 1.0, "1", None, True, np.ones(1))
        else:
            wrong = (3, None, "38", [2**63], [1.5], [-1], [True])
        for new in wrong:
            with pytest.raises((TypeError, ValueError), match=name.removesuffix("s")):
                make(new)
    assert type(schedules.constant(1)(0)) is float and schedules.constant(1) == schedules.constant(
        1.0
    )


def test_powers_end_in_no_overflow():
    assert schedules.step_decay(0.1, 1, 2)(10**7) == math.inf
    assert schedules.step_decay(0.1, 1, 2)(10) == 0.1 * 2.0**10
    assert schedules.step_decay(0.1, 1, 0.5)(10**18) == schedules.step_decay(0, 1, 2)(10**18) == 0
    assert schedules.multi_step(1, range(2000), 2)(5000) == math.inf
    layer = nn.Linear(1, 1, rng=0)
    optimizer = optim.SGD(layer.parameters(), lr=schedules.step_decay(0.1, 1, 2))
    optimizer.steps = 10**7
    with pytest.raises(ValueError, match="lr must be at least 0 and finite, got inf at step 1000"):
        optimizer.step()
    for tiny in ({"div_factor": 5e-324}, {"final_div_factor": 5e-324}):
        with pytest.raises(ValueError, match=r"max_lr / div_factor.* finite, got inf"):
            schedules.one_cycle(0.1, 9, **tiny)


def test_a_schedule_says_what_its_rate_is():
    class Unfinished(schedules._Schedule):
        pass

    with pytest.raises(TypeError, match="_rate"):
        Unfinished()
