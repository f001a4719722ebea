"""Layers and models: results, states, first weights, and errors for bad input."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastnn import nn


def test_linear_against_numpy(real):
    layer = nn.Linear(6, 4, activation="relu", dtype=real, rng=0)
    layer.bias.data[...] = [0.1, -0.2, 0.3, -0.4]
    x = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(real)
    expected = np.maximum(x @ layer.weight.data + layer.bias.data, 0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(layer.forward(x)[0], layer(x))
    assert layer(x[:0]).shape == (0, 3, 4)
    assert layer(x[0, 0]).shape == (4,)


def test_an_empty_batch_leaves_no_gradient():
    layer = nn.Linear(3, 2, rng=0)
    y, ctx = layer.forward(np.zeros((0, 3), np.float32))
    assert layer.backward(y, ctx).shape == (0, 3)
    assert not layer.parameters().grad.any()


def test_activations_are_the_same_in_a_linear_layer_and_after_it(real):
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(real)
    layers = {
        "relu": nn.ReLU(),
        "gelu": nn.GELU(),
        "gelu_tanh": nn.GELU("tanh"),
        "tanh": nn.Tanh(),
        "sigmoid": nn.Sigmoid(),
        "silu": nn.SiLU(),
        "softplus": nn.Softplus(),
    }
    for activation, layer in layers.items():
        fused = nn.Linear(6, 4, activation=activation, dtype=real, rng=0)
        plain = nn.Sequential(nn.Linear(6, 4, dtype=real, rng=0), layer)
        tolerance = {"rtol": 16 * np.finfo(real).eps, "atol": 0, "err_msg": activation}
        np.testing.assert_allclose(fused(x), plain(x), **tolerance)
        np.testing.assert_allclose(fused.forward(x)[0], plain(x), **tolerance)


def test_softmax_rows_are_probabilities():
    y = nn.Softmax()(np.array([[1.0, 2.0, 3.0], [1000.0, 1000.0, -1000.0]]))
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(y[1], [0.5, 0.5, 0], atol=1e-12)


def test_log_softmax_is_finite_where_softmax_is_zero():
    x = np.array([[1.0, 2.0, 3.0], [1000.0, 1000.0, -1000.0]])
    y = nn.LogSoftmax()(x)
    np.testing.assert_allclose(y[0], np.log(nn.Softmax()(x[0])), rtol=1e-14)
    np.testing.assert_allclose(y[1], [-np.log(2), -np.log(2), -2000 - np.log(2)], rtol=1e-14)


def test_slopes_below_zero(real):
    x = np.array([[-2, 3, -1], [0, -4, np.nan]], real)
    np.testing.assert_array_equal(
        nn.LeakyReLU(0.5)(x), np.array([[-1, 3, -0.5], [0, -2, np.nan]], real)
    )
    layer = nn.PReLU(3, dtype=real)
    assert (layer.weight.data == 0.25).all()
    layer.weight.data[...] = [0.5, 1, -2]
    expected = np.array([[-1, 3, 2], [0, -4, np.nan]], real)
    np.testing.assert_array_equal(layer(x), expected)
    y, ctx = layer.forward(x)
    np.testing.assert_array_equal(y, expected)
    layer.backward(np.ones_like(x), ctx)
    np.testing.assert_array_equal(layer.weight.grad, np.array([-2, -4, np.nan], real))
    with pytest.raises(ValueError, match=r"prelu: a must have the shape .*\(4,\), got \(3,\)"):
        layer(np.zeros((2, 4), real))
    with pytest.raises(TypeError, match="prelu"):
        layer(x.astype(np.float16))


def test_xavier_uniform_fills_its_range():
    layer = nn.Linear(300, 200, rng=0)
    limit = np.sqrt(6 / 500)
    assert np.abs(layer.weight.data).max() == pytest.approx(limit, rel=1e-3)
    assert layer.weight.data.std() == pytest.approx(limit / np.sqrt(3), rel=1e-2)
    assert not layer.bias.data.any()


def test_seeds():
    assert np.array_equal(
        nn.MLP((4, 3, 2), rng=1)[0].weight.data, nn.Linear(4, 3, rng=1).weight.data
    )
    rng = np.random.default_rng(1)
    again = nn.MLP((4, 3, 2), rng=rng), nn.MLP((4, 3, 2), rng=rng)
    np.testing.assert_array_equal(
        again[0].parameters().data, nn.MLP((4, 3, 2), rng=1).parameters().data
    )
    assert not np.array_equal(again[0].parameters().data, again[1].parameters().data)
    assert not np.array_equal(nn.Linear(4, 3).weight.data, nn.Linear(4, 3).weight.data)
    single, double = nn.Linear(4, 3, rng=2), nn.Linear(4, 3, dtype=np.float64, rng=2)
    np.testing.assert_array_equal(single.weight.data, double.weight.data.astype(np.float32))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 4), np.float32), ValueError, r"\(2, 4\).*\(3, 2\)"),
        (np.zeros((), np.float32), ValueError, r"\(\)"),
        (np.zeros((2, 3)), TypeError, "x is float64, but the weights are float32"),
        (np.zeros((2, 3), np.int32), TypeError, "int32"),
        (np.zeros((2, 3), np.float16), TypeError, "float16"),
        (np.zeros((2, 3), np.dtype(np.float32).newbyteorder()), TypeError, "float32"),
        ([[1.0, 2.0, 3.0]], TypeError, "NumPy array, got list"),
    ],
)
def test_linear_names_what_is_wrong_with_its_input(x, error, message):
    layer = nn.Linear(3, 2, rng=0)
    for call in (layer, layer.forward):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize(
    "layer", [nn.Linear(3, 3, rng=0), nn.ReLU(), nn.GELU(), nn.Softmax(), nn.PReLU()]
)
def test_a_gradient_of_another_shape_is_refused(layer):
    y, ctx = layer.forward(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 3\)"):
        layer.backward(y.T.copy(), ctx)
    with pytest.raises(TypeError):
        layer.backward(y.astype(np.float64), ctx)
    assert not layer.parameters().grad.any()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(0, 2), ValueError, "in_features must be at least 1, got 0"),
        (lambda: nn.Linear(2, 2.5), TypeError, "out_features must be an integer, got float 2.5"),
        (lambda: nn.Linear(2, True), TypeError, "out_features"),
        (lambda: nn.Linear(2, 2, activation="swish"), ValueError, "'swish'"),
        (lambda: nn.GELU("erf"), ValueError, "approximate must be None or 'tanh', got 'erf'"),
        (lambda: nn.LeakyReLU("0.1"), TypeError, "slope must be a number, got str '0.1'"),
        (lambda: nn.LeakyReLU(np.nan), ValueError, "slope must be finite, got nan"),
        (lambda: nn.PReLU(0), ValueError, "num_parameters must be at least 1, got 0"),
        (lambda: nn.PReLU(init=np.inf), ValueError, "init must be finite, got inf"),
        (lambda: nn.PReLU(dtype=np.int32), TypeError, "int32"),
        (lambda: nn.Linear(2, 2, dtype=np.float16), TypeError, "float16"),
        (lambda: nn.MLP((3,)), ValueError, "at least two"),
        (lambda: nn.MLP((3, 0, 2)), ValueError, r"sizes\[1\]"),
        (lambda: nn.MLP((3, 2), activation="exp"), ValueError, "'exp'"),
        (lambda: nn.Sequential(), ValueError, "at least one layer"),
        (lambda: nn.Sequential(nn.ReLU(), np.tanh), TypeError, "layer 1 .* ufunc"),
        (
            lambda: nn.Residual(np.tanh),
            TypeError,
            "Residual: layer must be an nn.Module, got ufunc",
        ),
    ],
)
def test_what_cannot_be_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_sequential_is_a_sequence():
    layers = nn.Linear(2, 3, rng=0), nn.ReLU(), nn.Linear(3, 1, rng=1)
    model = nn.Sequential(*layers)
    assert len(model) == 3 and tuple(model) == layers
    assert model[0] is layers[0] and model[-1] is layers[2]
    with pytest.raises(IndexError):
        model[3]
    assert repr(model).startswith("Sequential(Linear(in_features=2, out_features=3, bias=True")


def test_mlp_is_linear_layers_with_activations_between():
    model = nn.MLP((5, 4, 3), rng=0)
    assert [layer.activation for layer in model] == ["relu", None]
    x = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    np.testing.assert_array_equal(model(x), model[1](model[0](x)))
    np.testing.assert_array_equal(model.forward(x)[0], model(x))


def test_state_is_a_copy_that_can_be_loaded(real):
    model, other = nn.MLP((3, 4, 2), dtype=real, rng=0), nn.MLP((3, 4, 2), dtype=real, rng=1)
    state = model.state()
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    other.load_state(state)
    np.testing.assert_array_equal(other.parameters().data, model.parameters().data)
    state["0.weight"].fill(9)
    assert not (model[0].weight.data == 9).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"1.bias": None}, ValueError, r"missing \['1\.bias'\]"),
        ({"2.bias": np.zeros(2, np.float32)}, ValueError, r"unexpected \['2\.bias'\]"),
        ({"1.bias": np.zeros(3, np.float32)}, ValueError, r"'1\.bias' .*\(3,\).*\(2,\)"),
        ({"1.bias": np.zeros(2)}, TypeError, r"'1\.bias' is float64 .* float32"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    model = nn.MLP((3, 4, 2), rng=0)
    before = model.parameters().data.copy()
    state = {name: np.zeros_like(array) for name, array in model.state().items()} | change
    state = {name: array for name, array in state.items() if array is not None}
    with pytest.raises(error, match=message):
        model.load_state(state)
    np.testing.assert_array_equal(model.parameters().data, before)


def test_several_python_threads_share_a_model():
    model = nn.MLP((16, 32, 4), rng=0)
    batches = [np.full((8, 16), i, np.float32) for i in range(16)]
    expected = [model(x) for x in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, y in zip(
            pool.map(lambda x: model.forward(x)[0], batches), expected, strict=True
        ):
            np.testing.assert_array_equal(found, y)


def test_nan_and_infinity_come_through():
    model = nn.MLP((2, 3, 2), rng=0)
    y = model(np.array([[np.nan, 1], [1, 1]], np.float32))
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3, 2, bias=False, activation="relu", rng=0),
        lambda: nn.MLP((3, 4, 2), None, dtype=np.float64, rng=0),
        lambda: nn.Sequential(nn.Linear(3, 3, rng=0), nn.ReLU(), nn.Softmax()),
        lambda: nn.Sequential(nn.Sequential(nn.MLP((3, 3), rng=0)), nn.ReLU()),
        lambda: nn.Residual(nn.Sequential(nn.Residual(nn.Linear(3, 3, rng=0)), nn.Tanh())),
        lambda: nn.Sequential(nn.GELU(), nn.GELU("tanh"), nn.Tanh(), nn.Sigmoid(), nn.SiLU()),
        lambda: nn.Sequential(nn.Softplus(), nn.LeakyReLU(0.2), nn.PReLU(3), nn.LogSoftmax()),
        lambda: nn.PReLU(dtype=np.float64),
    ],
)
def test_build_makes_the_architecture_of_a_config_again(make):
    model = make()
    again = nn.build(model.config())
    assert type(again) is type(model) and again.config() == model.config()
    again.load_state(model.state())
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(model.parameters().dtype)
    np.testing.assert_array_equal(again(x), model(x))


def test_build_keeps_a_layer_that_occurs_twice_one_layer():
    shared = nn.Linear(3, 3, rng=0)
    again = nn.build(nn.Sequential(shared, nn.ReLU(), shared).config())
    assert again[0] is again[2]


LINEAR = nn.Linear(3, 2, rng=0).config()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "described by an object"),
        ({"type": "Conv"}, "'Conv'"),
        ({"type": ["Linear"]}, "unknown type"),
        ({}, "None"),
        ({"type": "ReLU", "slope": 1}, "slope"),
        ({"type": "LeakyReLU", "slope": 1}, "slope cannot be 1"),
        ({"type": "PReLU", "num_parameters": 0, "dtype": "float32"}, "at least 1, got 0"),
        ({"type": "GELU", "approximate": "erf"}, "'erf'"),
        ({"type": "Linear", "in_features": 3}, "needs the fields"),
        (LINEAR | {"in_features": True}, "in_features cannot be True"),
        (LINEAR | {"bias": 1}, "bias cannot be 1"),
        (LINEAR | {"in_features": -3}, "at least 1, got -3"),
        (LINEAR | {"activation": "exp"}, "'exp'"),
        ({"type": "Sequential", "layers": []}, "at least one layer"),
        ({"type": "Sequential", "layers": [{"type": "Repeat", "of": 0}]}, "cannot repeat layer 0"),
        ({"type": "Repeat", "of": 0}, "only inside"),
        ({"type": "Residual", "layer": {"type": "Repeat", "of": 0}}, "only inside"),
        ({"type": "Residual", "layer": []}, "layer cannot be"),
    ],
)
def test_build_refuses_a_malformed_config(config, message):
    with pytest.raises(ValueError, match=message):
        nn.build(config)


def test_residual_adds_its_input(real):
    layer = nn.Linear(3, 3, activation="relu", dtype=real, rng=0)
    model = nn.Residual(layer)
    assert [name for name, _ in model.parameters().named()] == ["layer.weight", "layer.bias"]
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(real)
    np.testing.assert_array_equal(model(x), x + layer(x))
    np.testing.assert_array_equal(model.forward(x)[0], model(x))
    with pytest.raises(ValueError, match=r"\(5, 3\), but the layer's output \(5, 2\)"):
        nn.Residual(nn.Linear(3, 2, dtype=real, rng=0))(x)


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("activation", [None, "gelu"])
def test_stacked_affine_layers_collapse_into_one(biases, activation, real):
    rng = np.random.default_rng(0)
    first = nn.Linear(5, 7, biases[0], dtype=real, rng=rng)
    second = nn.Linear(7, 3, biases[1], activation, dtype=real, rng=rng)
    for layer in (first, second):
        layer.parameters().data[...] = rng.normal(size=layer.parameters().data.shape)
    before = first.state(), second.state()
    both = nn.collapse(first, second)
    assert (both.bias is not None) == any(biases) and both.activation == activation
    x = rng.normal(size=(11, 5)).astype(real)
    expected = second(first(x))
    tolerance = 50 * np.finfo(real).eps * np.abs(expected).max()
    np.testing.assert_allclose(both(x), expected, rtol=0, atol=tolerance)
    both.parameters().data.fill(0)
    for layer, state in zip((first, second), before, strict=True):
        for name, values in layer.state().items():
            np.testing.assert_array_equal(values, state[name])


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        (nn.Linear(2, 3), nn.Linear(4, 2), ValueError, "3 outputs, the second 4 inputs"),
        (nn.Linear(2, 3, activation="relu"), nn.Linear(3, 2), ValueError, "'relu'"),
        (nn.Linear(2, 3), nn.ReLU(), TypeError, "not ReLU"),
        (nn.Linear(2, 3), nn.Linear(3, 2, dtype=np.float64), TypeError, "float64|double"),
    ],
)
def test_what_does_not_collapse(first, second, error, message):
    with pytest.raises(error, match=message):
        nn.collapse(first, second)
