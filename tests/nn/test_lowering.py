"""Containers in one call: the bits of layer by layer, whatever happened to the model."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn.linear import ACTIVATIONS

from .lowering import check, one_by_one, trains_in_one_call

ALONE = (nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Softplus())


def make(real, activation="relu", bias=True):
    """Every kind of step: fused and separate activations, with and without bias, nested."""
    rng = np.random.default_rng(0)
    dense = lambda n, m, act=None: nn.Linear(n, m, bias, act, dtype=real, rng=rng)  # noqa: E731
    model = nn.Sequential(
        dense(7, 33, activation),
        nn.Sequential(dense(33, 16), *ALONE),
        nn.MLP((16, 20, 5), activation, dtype=real, rng=rng),
    )
    for parameter in model.parameters():
        parameter.data[...] += rng.normal(size=parameter.data.shape) / 10
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [0, 1, 2, 13, 64])
def test_the_same_bits_as_layer_by_layer(activation, rows, real):
    x = np.random.default_rng(2).normal(size=(rows, 7)).astype(real)
    for bias in (True, False):
        check(make(real, activation, bias), x)


def test_any_number_of_threads_gives_the_same_bits():
    model = nn.MLP((100, 300, 200, 10), rng=0)
    x = np.random.default_rng(0).normal(size=(130, 100)).astype(np.float32)
    results = []
    for n in (1, 2, 3, 8):
        with fastnn.num_threads(n):
            check(model, x)
            y, ctx = model.forward(x)
            model.zero_grad()
            results.append((y, model.backward(y, ctx), model.parameters().grad.copy(), model(x)))
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("need_dx", [True, False])
def test_strides(need_dx, real):
    wide = np.random.default_rng(0).normal(size=(26, 14)).astype(real)
    model = make(real)
    for x in (wide[::2, ::2], wide[:13, ::-2], wide.T[:7].T, np.asfortranarray(wide[:9, :7])):
        check(model, x, need_dx)
    y, ctx = model.forward(wide[:9, :7])
    dy = np.asfortranarray(np.ones_like(y))
    model.zero_grad()
    dx = model.backward(dy, ctx)
    grads = model.parameters().grad.copy()
    model.zero_grad()
    np.testing.assert_array_equal(one_by_one(model, wide[:9, :7], dy)[1], dx)
    np.testing.assert_array_equal(model.parameters().grad, grads)


def test_other_inputs_go_layer_by_layer(real):
    model = make(real)
    x = np.random.default_rng(0).normal(size=(2, 3, 7)).astype(real)
    y, ctx = model.forward(x)
    assert isinstance(ctx, list) and y.shape == (2, 3, 5)
    np.testing.assert_array_equal(model(x), y)
    assert model.backward(y, ctx).shape == x.shape
    assert model(x[0, 0]).shape == (5,)
    other = np.float64 if real == np.float32 else np.float32
    for bad, error in (
        (x[0].astype(other), TypeError),
        (x[0, :, :3], ValueError),
        ([[1]], TypeError),
    ):
        with pytest.raises(error, match="Linear"):
            model(bad)
        with pytest.raises(error, match="Linear"):
            model.forward(bad)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Softmax(),),
        (nn.Linear(7, 3, rng=0), nn.Softmax()),
        (nn.ReLU(), nn.Linear(7, 3, rng=0)),
        (nn.Linear(7, 7, rng=0), nn.Residual(nn.Linear(7, 7, rng=0))),
        (nn.Linear(7, 3, rng=0), nn.Dropout(0.5)),
        (nn.Linear(7, 7, rng=0),) * 65,
    ],
)
def test_what_trains_layer_by_layer(layers):
    x = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    model = nn.Sequential(*layers)
    assert not trains_in_one_call(model, x)
    want = x
    for layer in layers:
        want = layer(want)
    np.testing.assert_array_equal(model(x), want)


def test_sizes_that_do_not_fit_are_the_layers_errors():
    x = np.ones((2, 7), np.float32)
    for second in (nn.Linear(4, 2, rng=0), nn.Residual(nn.Linear(3, 4, rng=0)), nn.LayerNorm(2)):
        model = nn.Sequential(nn.Linear(7, 3, rng=0), second)
        for run in (model, model.forward):
            with pytest.raises(ValueError, match=r"Linear|Residual|LayerNorm"):
                run(x)


def test_a_subclass_does_what_it_says():
    class Doubled(nn.Linear):
        def forward(self, x):
            y, ctx = super().forward(x)
            return 2 * y, ctx

        def __call__(self, x):
            return 2 * super().__call__(x)

    class Shifted(nn.Sequential):
        def __call__(self, x):
            return super().__call__(x) + 1

    x = np.ones((2, 3), np.float32)
    for inner in (Doubled(3, 3, rng=0), Shifted(nn.Linear(3, 3, rng=0))):
        model = nn.Sequential(nn.Linear(3, 3, rng=1), inner)
        np.testing.assert_array_equal(model(x), inner(model[0](x)))
        assert not trains_in_one_call(model, x)


def test_a_shared_layer_adds_up_its_gradients(real):
    shared = nn.Linear(7, 7, activation="tanh", dtype=real, rng=0)
    check(nn.Sequential(shared, nn.Linear(7, 7, dtype=real, rng=1), shared), np.ones((3, 7), real))


def test_parameters_that_move_take_the_program_along():
    model = nn.MLP((7, 9, 5), rng=0)
    x = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    before, ctx = model.forward(x)
    larger = nn.Sequential(model, nn.ReLU())
    check(larger, x)
    check(model, x)
    larger.parameters().data[...] *= 2
    assert not np.array_equal(model(x), before)
    model.zero_grad()
    model.backward(before, ctx)  # of the forward pass before the move
    assert larger.parameters().grad.any()
    other = nn.Sequential(model[0], nn.Tanh())  # a part of it in a third model
    check(other, x)
    model[0].weight.data[...] = 0
    np.testing.assert_array_equal(model(x), np.broadcast_to(model(x)[0], (4, 5)))


def test_copies_run_by_themselves():
    model = nn.MLP((7, 9, 5), rng=0)
    x = np.ones((2, 7), np.float32)
    y = model(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        twin.parameters().data.fill(0)
        assert not twin(x).any()
        np.testing.assert_array_equal(model(x), y)
        check(twin, x)


def test_several_python_threads_share_a_model():
    model = nn.MLP((16, 32, 4), rng=0)
    batches = [np.full((8, 16), i, np.float32) for i in range(32)]
    expected = [model(x) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        for run in (model, lambda x: model.forward(x)[0]):
            for found, y in zip(pool.map(run, batches), expected, strict=True):
                np.testing.assert_array_equal(found, y)


def test_nan_and_infinity_come_through():
    model = nn.MLP((2, 3, 2), "gelu", rng=0)
    x = np.array([[np.nan, 1], [np.inf, 1], [1, 1]], np.float32)
    y, ctx = model.forward(x)
    assert np.isnan(y[0]).all() and np.isfinite(y[2]).all()
    check(model, np.where(np.isfinite(x), x, 0))
    dx = model.backward(np.full_like(y, np.nan), ctx)
    assert np.isnan(dx).all()


def test_a_gradient_that_does_not_fit_is_refused():
    model = nn.MLP((3, 4, 2), rng=0)
    x = np.ones((5, 3), np.float32)
    y, ctx = model.forward(x)
    for dy, error, message in (
        (y.T.copy(), ValueError, r"\(2, 5\).*\(5, 2\)"),
        (y[:, 0].copy(), ValueError, r"\(5,\).*\(5, 2\)"),
        (y.astype(np.float64), TypeError, "float64"),
        (y.tolist(), TypeError, "list"),
    ):
        with pytest.raises(error, match=message):
            model.backward(dy, ctx)
    assert not model.parameters().grad.any()
    with pytest.raises(ValueError, match=r"MLP: ctx must be the second result .* tuple of 5"):
        nn.MLP((3, 4, 4, 2), rng=0).backward(y, ctx)
