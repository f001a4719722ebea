"""States: resumed runs have the same bits; a state is loaded completely or not at all."""

import copy

import numpy as np
import pytest

from fastnn import nn, optim
from fastnn.optim import schedules

SCHEDULE = schedules.warmup_cosine(0.05, warmup=3, total=9)
MAKERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, weight_decay=0.01),
    "SGD momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.02, weight_decay=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.02),
    "AdamW scheduled": lambda p: optim.AdamW(p, lr=SCHEDULE),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.02),
    "RMSprop all": lambda p: optim.RMSprop(p, lr=0.02, momentum=0.5, centered=True),
    "Adadelta": lambda p: optim.Adadelta(p, rho=0.8),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.02, lr_decay=0.1, initial_accumulator_value=0.1),
}


def train(model, optimizer, first, last):
    for step in range(first, last):
        rng = np.random.default_rng(step)
        optimizer.zero_grad()
        x = rng.normal(size=(8, 4)).astype(model.parameters().dtype)
        logits, ctx = model.forward(x)
        _, dlogits = nn.cross_entropy(logits, rng.integers(0, 3, 8))
        model.backward(dlogits, ctx, need_dx=False)
        optimizer.step(max_norm=0.5)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_run_continues_bit_for_bit(make, real):
    model = nn.MLP((4, 5, 3), dtype=real, rng=0)
    optimizer = make(model.parameters())
    train(model, optimizer, 0, 4)
    weights, state = model.state(), optimizer.state_dict()
    train(model, optimizer, 4, 10)
    twin = nn.MLP((4, 5, 3), dtype=real, rng=1)
    twin_optimizer = make(twin.parameters())
    twin.load_state(weights)
    twin_optimizer.load_state_dict(state)
    assert twin_optimizer.steps == 4
    train(twin, twin_optimizer, 4, 10)
    np.testing.assert_array_equal(twin.parameters().data, model.parameters().data)
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(twin_optimizer.state_dict()[name], value, name)


def test_a_state_is_a_copy_unless_that_is_not_wanted():
    optimizer = optim.Adam(nn.MLP((2, 3), rng=0).parameters())
    assert not np.may_share_memory(optimizer.state_dict()["m"], optimizer.m)
    assert optimizer.state_dict(copy=False)["v"] is optimizer.v


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_model_and_optimizer_can_be_copied_together(make):
    model = nn.MLP((4, 5, 3), rng=0)
    optimizer = make(model.parameters())
    train(model, optimizer, 0, 2)
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    for each in ((model, optimizer), (twin, twin_optimizer)):
        train(*each, 2, 4)
    np.testing.assert_array_equal(twin.parameters().data, model.parameters().data)


def test_a_state_replaces_the_numbers_that_an_optimizer_was_made_with():
    params = nn.Linear(2, 2, rng=0).parameters()
    state = optim.RMSprop(params, lr=0.1, alpha=0.5, eps=0.1, weight_decay=0.3).state_dict()
    optimizer = optim.RMSprop(params)
    optimizer.load_state_dict(state)
    assert (optimizer.lr, optimizer.alpha, optimizer.eps, optimizer.weight_decay) == (
        0.1,
        0.5,
        0.1,
        0.3,
    )


def test_a_schedule_is_no_part_of_the_state():
    params = nn.Linear(2, 2, rng=0).parameters()
    scheduled, plain = optim.Adam(params, lr=SCHEDULE), optim.Adam(params, lr=0.1)
    assert "lr" not in scheduled.state_dict()
    with pytest.raises(ValueError, match=r"missing \[\], unexpected \['lr'\]"):
        scheduled.load_state_dict(plain.state_dict())
    with pytest.raises(ValueError, match=r"missing \['lr'\], unexpected \[\]"):
        plain.load_state_dict(scheduled.state_dict())
    scheduled.load_state_dict(scheduled.state_dict() | {"steps": 6})
    assert scheduled.current_lr == SCHEDULE(6)


def test_a_state_is_a_copy():
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.Adam(layer.parameters())
    state = optimizer.state_dict()
    state["m"].fill(1)
    assert not optimizer.state_dict()["m"].any()


@pytest.mark.parametrize("steps", [2**53, 2**53 + 1, 2**62])
def test_huge_step_counts(steps):
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    optimizer.load_state_dict(optimizer.state_dict() | {"steps": steps})
    layer.parameters().grad.fill(1)
    before = layer.weight.data.copy()
    optimizer.step()
    assert optimizer.steps == steps + 1
    expected = before - 0.1 * 0.1 / (np.sqrt(0.001) + 1e-8)  # no bias is left to correct
    np.testing.assert_allclose(layer.weight.data, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"v": None}, ValueError, r"missing \['v'\]"),
        ({"momentum": 0.9}, ValueError, r"unexpected \['momentum'\]"),
        ({"m": np.zeros(3, np.float32)}, ValueError, r"'m' has shape \(3,\)"),
        ({"m": np.zeros(32)}, TypeError, "'m' is float64, the parameters are float32"),
        ({"lr": "fast"}, TypeError, "lr must be a number"),
        ({"beta2": 1.5}, ValueError, "beta2"),
        ({"eps": 1e-60}, ValueError, "eps must be above 0 in float32"),
        ({"steps": 2.5}, ValueError, "steps must be a whole number, got 2.5"),
        ({"steps": 2**63}, ValueError, "steps must be at least 0 and below"),
        ({"decay_1d": True}, ValueError, "the state has decay_1d=True, not False"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    layer = nn.Linear(2, 2, rng=0)
    optimizer = optim.AdamW(layer.parameters(), lr=0.1)
    assert optimizer.m.shape == (32,)  # two parameters, each at a boundary of 16 floats
    state = optimizer.state_dict() | {"steps": 5, "lr": 0.7, "v": np.ones(32, "f4")} | change
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.steps == 0 and optimizer.lr == 0.1 and not optimizer.v.any()


def test_nesterov_is_not_taken_for_plain_momentum():
    params = nn.Linear(2, 2, rng=0).parameters()
    state = optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True).state_dict()
    with pytest.raises(ValueError, match="the state has nesterov=True, not False"):
        optim.SGD(params, lr=0.1, momentum=0.9).load_state_dict(state)
