"""Gradients that `zero_grad` leaves to backward to overwrite: nobody sees the old values."""

import copy
import pickle

import numpy as np
import pytest

from fastnn import models, nn, optim, parameters


def network(rng=0):
    """Two layers in one call, of which the first is large."""
    return nn.Sequential(
        nn.Linear(200, 150, activation="relu", rng=rng), nn.Linear(150, 3, rng=rng)
    )


def shared(rng=0):
    layer = nn.Linear(150, 150, activation="tanh", rng=rng)
    return nn.Sequential(nn.Linear(200, 150, rng=rng), layer, layer)


def by_layers(rng=0):
    """Layers that run one by one."""
    return nn.Sequential(
        nn.Linear(200, 150, activation="gelu", rng=rng), nn.Dropout(0.0), nn.LayerNorm(150)
    )


NETWORKS = {"network": network, "shared": shared, "by_layers": by_layers}


def pass_of(make):
    """A model and a function that runs forward and backward, on one batch or another."""
    if make in NETWORKS:
        model = NETWORKS[make]()
        x = np.random.default_rng(1).standard_normal((2, 40, 200)).astype(np.float32)

        def run(i=0):
            y, ctx = model.forward(x[i])
            model.backward(np.ones_like(y), ctx, need_dx=False)

        return model, run
    model = models.TransformerLM(300, 96, 4, 1, 16, tie_weights=make == "tied", rng=0)
    ids = np.random.default_rng(1).integers(0, 200, (2, 3, 16))

    def run(i=0):
        model.loss_and_grad(ids[i], ids[i, :, ::-1].copy())

    return model, run


KINDS = [*NETWORKS, "tied", "untied"]


def eager(params):
    """Clear the gradients at once."""
    params.grad[...] = 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("passes", [1, 2])
def test_gradients_are_those_of_passes_over_zeros(kind, passes):
    model, run = pass_of(kind)
    params = model.parameters()
    eager(params)
    for i in range(passes):
        run(i)
    want = params.grad.copy()
    params.grad[...] = np.nan
    model.zero_grad()
    assert params._block.cleared  # or this test shows nothing
    for i in range(passes):
        run(i)
    np.testing.assert_array_equal(params.grad, want)


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_are_read_after_zero_grad(kind):
    model, run = pass_of(kind)
    params = model.parameters()
    readers = {
        "parameter": lambda: [p.grad for p in params],
        "flat": lambda: [params.grad],
        "part": lambda: [p.grad for part in model.parts().values() for p in part.parameters()],
        "pickled": lambda: [pickle.loads(pickle.dumps(model)).parameters().grad],
        "copied": lambda: [copy.deepcopy(model).parameters().grad],
        "moved": lambda: [nn.Sequential(*model.parts().values()).parameters().grad],
    }
    if kind in ("tied", "untied"):
        del readers["moved"]
    for reader in readers.values():
        run()
        model.zero_grad()
        assert params._block.cleared
        assert not any(np.any(grad) for grad in reader())


@pytest.mark.parametrize("held", ["parameter", "part of one", "flat", "base"])
def test_arrays_that_are_held_are_cleared_at_once(held):
    model, run = pass_of("network")
    run()
    weight = model[0].weight
    array = {
        "parameter": lambda: weight.grad,
        "part of one": lambda: weight.grad[3:5],
        "flat": lambda: model.parameters().grad,
        "base": lambda: weight.grad.base,
    }[held]()
    assert np.any(array)
    model.zero_grad()
    assert not np.any(array)
    array[...] = 1
    assert np.all(weight.grad[3:5] != 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_without_backward_sees_zeros(kind):
    model, run = pass_of(kind)
    optimizer = optim.SGD(model.parameters(), 0.1)
    run()
    before = model.parameters().data.copy()
    optimizer.zero_grad()
    assert optimizer.step(max_norm=1.0) == 0
    np.testing.assert_array_equal(model.parameters().data, before)


def test_a_failed_backward_leaves_zeros():
    layer = nn.Linear(200, 150, rng=0)
    x = np.ones((4, 200), np.float32)
    y, ctx = layer.forward(x)
    layer.backward(y, ctx)
    layer.zero_grad()
    with pytest.raises((TypeError, ValueError)):
        layer.backward(y.astype(np.float64), ctx)
    assert not np.any(layer.weight.grad)


def test_no_rows_store_zeros():
    layer = nn.Linear(200, 150, rng=0)
    layer.weight.grad[...] = np.nan
    layer.zero_grad()
    y, ctx = layer.forward(np.ones((0, 200), np.float32))
    layer.backward(y, ctx)
    assert not np.any(layer.weight.grad)


def test_parts_and_small_gradients_are_cleared_alone():
    model, run = pass_of("network")
    run()
    last = model[1].weight.grad.copy()
    model[0].zero_grad()
    assert not np.any(model[0].weight.grad)
    assert not np.any(model[0].bias.grad)
    np.testing.assert_array_equal(model[1].weight.grad, last)
    assert model[1].weight.grad.nbytes < parameters.OVERWRITTEN_FROM
