"""`gradcheck` passes what is right, and names what is wrong."""

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import GradientError, Module, Parameter, gradcheck


class Scale(Module):
    """y = x^2 * s + z, for two inputs; `mistake` says what backward does wrong."""

    def __init__(self, s, mistake=None):
        self.s, self.mistake = Parameter(np.asarray(s, float)), mistake
        super().__init__({"s": self.s})

    def forward(self, x, z):
        return x**2 * self.s.data + z, x

    def backward(self, dy, ctx, need_dx=True):
        ds = (dy * ctx**2).sum(axis=0)
        if self.mistake == "sign":
            ds[1] *= -1
        if self.mistake == "overwrites":
            self.s.grad[...] = ds
        else:
            self.s.grad[...] += ds
        dx, dz = 2 * ctx * self.s.data * dy, dy.copy()
        if self.mistake == "small":
            dx[1, 2] *= 1 + 1e-5
        if self.mistake == "nan":
            dx[0, 0] = np.nan
        if self.mistake == "shape":
            dz = dz[:, :1]
        if self.mistake == "one gradient":
            return dx
        if self.mistake == "changes dy":
            dy += 1
        return dx, dz

    def config(self):
        return {"type": "Scale"}


def arguments(seed=0, shape=(2, 3)):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape), rng.normal(size=shape)


def test_a_right_layer_passes_and_is_left_as_it_was():
    layer = nn.Sequential(
        nn.Linear(3, 4, activation="gelu", dtype=float, rng=0), nn.Linear(4, 2, dtype=float, rng=1)
    )
    layer.parameters().grad[...] = np.arange(layer.parameters().grad.size)
    data, grad = layer.parameters().data.copy(), layer.parameters().grad.copy()
    x = arguments()[0]
    kept = x.copy()
    report = fastnn.gradcheck(layer, x)
    names = ["x", "0.weight", "0.bias", "1.weight", "1.bias"]
    assert list(report.errors) == names and 0 < report.worst < 1e-6
    assert report.worst == max(report.errors.values())
    assert [line.split()[0] for line in str(report).splitlines()] == names
    np.testing.assert_array_equal(layer.parameters().data, data)
    np.testing.assert_array_equal(layer.parameters().grad, grad)
    np.testing.assert_array_equal(x, kept)


def test_several_inputs():
    report = gradcheck(Scale([2.0, -1.0, 0.5]), *arguments())
    assert list(report.errors) == ["x[0]", "x[1]", "s"]


@pytest.mark.parametrize(
    ("mistake", "name", "index"),
    [("sign", "s", (1,)), ("small", r"x[0]", (1, 2)), ("nan", r"x[0]", (0, 0))],
)
def test_a_wrong_element_is_named(mistake, name, index):
    layer = Scale([2.0, -1.0, 0.5], mistake)
    with pytest.raises(GradientError, match=r"backward gives .*, central differences ") as caught:
        gradcheck(layer, *arguments())
    error = caught.value
    assert (error.name, error.index) == (name, index) and isinstance(error, AssertionError)
    assert name in str(error) and str(list(index)) in str(error)
    if mistake == "sign":
        assert error.found == pytest.approx(-error.expected)
    np.testing.assert_array_equal(layer.s.data, [2.0, -1.0, 0.5])


def test_gradients_must_be_added_to_and_dy_left_alone():
    with pytest.raises(GradientError, match=r"gradient of s at \["):
        gradcheck(Scale([2.0, -1.0, 0.5], "overwrites"), *arguments())
    with pytest.raises(AssertionError, match="backward changed dy"):
        gradcheck(Scale([2.0, -1.0, 0.5], "changes dy"), *arguments())


def test_shapes_and_numbers_of_gradients():
    with pytest.raises(ValueError, match=r"of x\[1\] has shape \(2, 1\), but x\[1\] has \(2, 3\)"):
        gradcheck(Scale([2.0, -1.0, 0.5], "shape"), *arguments())
    with pytest.raises(ValueError, match="1 gradients came back for 2 inputs"):
        gradcheck(Scale([2.0, -1.0, 0.5], "one gradient"), *arguments())


def test_tolerances():
    layer = Scale([2.0, -1.0, 0.5], "small")
    assert gradcheck(layer, *arguments(), rtol=1e-4).errors["x[0]"] == pytest.approx(1e-5, rel=1e-3)
    assert gradcheck(layer, *arguments(), atol=1e-3).worst < 1e-6
    assert gradcheck(lambda x: (0.0, 0 * x), np.ones(3), atol=0).worst == 0
    for bad in ({"rtol": 0}, {"eps": 0}, {"eps": np.nan}, {"rtol": -1}):
        with pytest.raises(ValueError, match="above 0"):
            gradcheck(layer, *arguments(), **bad)


def test_samples():
    x, z = arguments(shape=(40, 3))
    found = 0
    for seed in range(20):
        try:
            gradcheck(Scale([2.0, -1.0, 0.5], "small"), x, z, samples=12, seed=seed)
        except GradientError:
            found += 1
    assert 0 < found < 10  # each run checks a tenth of the elements
    with pytest.raises(GradientError):
        gradcheck(Scale([2.0, -1.0, 0.5], "small"), x, z, samples=1000)


def test_float32():
    with pytest.raises(TypeError, match="float64, these are float32"):
        gradcheck(nn.Linear(3, 2, rng=0), arguments()[0])
    gradcheck(nn.Tanh(), arguments()[0].astype(np.float32))  # inputs are taken in float64


def test_dropout_drops_the_same_each_time():
    layer = nn.Sequential(nn.Linear(3, 8, dtype=float, rng=0), nn.Dropout(0.5), nn.Tanh())
    layer.seed(1)
    state = layer.random_state()
    report = gradcheck(layer, arguments()[0])
    assert 0 < report.errors["0.weight"] < 1e-6
    assert layer.random_state() == state


def test_losses():
    pred, target = arguments()
    assert list(gradcheck(nn.mse_loss, pred, target).errors) == ["x"]
    report = gradcheck(nn.cross_entropy, pred, np.array([2, 0]))
    assert 0 < report.worst < 1e-6

    def two_predictions(a, b, target):
        difference = a * b - target
        return np.sum(difference**2), (2 * difference * b, 2 * difference * a)

    assert list(gradcheck(two_predictions, pred, target, pred).errors) == ["x[0]", "x[1]"]

    def for_each_row(pred, target):
        return ((pred - target) ** 2).sum(axis=1), 2 * (pred - target)

    gradcheck(for_each_row, pred, target)
    with pytest.raises(GradientError, match=r"gradient of x at"):
        gradcheck(lambda p, t: (nn.mse_loss(p, t)[0], p - t), pred, target)


def test_a_kink_within_the_difference_is_seen():
    with pytest.raises(
        GradientError, match=r"x at \[1\]: backward gives 0, .* differences 0\.[45]"
    ):
        gradcheck(lambda x: (np.maximum(x, 0).sum(), (x > 0) * 1.0), np.array([1.0, 0.0]))
