"""Random calls of every layer and model: right ones, compared, and wrong ones, refused in words.

The reference of float32 is the same layer in float64, whose gradients tests/nn compares with
differences of its outputs.
"""

import json
import re

import numpy as np

from fastnn import nn
from tests.kernels.wrong_arguments import SCALARS
from tests.nn.layers import LAYERS

NAMES = sorted(LAYERS)
CLEAR = (TypeError, ValueError, IndexError)
# What Python says where nobody has looked at an argument.
BARE = re.compile(
    r"object (is not|has no|does not|cannot)|unsupported operand|not enough values|cannot unpack|"
    r"too many values|could not broadcast|not subscriptable|has no len|^'\w+'$|out of bounds|"
    r"indices must be|must be real number|missing \d|operands could not|matmul: Input operand|"
    r"Exceeds the limit|too large to convert|cannot be interpreted|^object of type|invalid literal"
)


def in_type(layer, real):
    """The layer with its parameters in another real type."""
    text = json.dumps(layer.config()).replace('"float64"', f'"{np.dtype(real).name}"')
    other = nn.build(json.loads(text))
    for a, b in zip(other.parameters(), layer.parameters(), strict=True):
        b.data[...] = b.data.astype(np.float32)  # what both types have
        a.data[...] = b.data
        a.requires_grad = b.requires_grad
    return other


def drawn(inputs, rng):
    """Inputs of the shapes a layer takes: other batch, positions, leading axes, magnitudes."""
    batch, positions = rng.integers(0, 7), rng.integers(1, 5)
    scale = rng.choice([1e-3, 1, 1, 10])
    found = []
    for x in inputs:
        if x.dtype.kind == "i":
            found.append(rng.integers(0, 5, (batch, positions)))
        else:
            shape = (batch, x.shape[-1]) if x.ndim == 2 else (batch, positions, x.shape[-1])
            found.append((scale * rng.normal(size=shape)).astype(np.float32))
    return found


def laid_out(x, rng):
    """Equal elements in another place of memory: strides, order, alignment, read only."""
    how = rng.integers(6)
    if how == 0:
        wide = np.empty([2 * n + 1 for n in x.shape], x.dtype)
        y = wide[tuple(slice(1, None, 2) for _ in x.shape)]
    elif how == 1:
        y = np.empty(x.shape[::-1], x.dtype).T
    elif how == 2:
        y = np.empty(x.size + 1, x.dtype)[1:].reshape(x.shape)  # at an address of one element
    elif how == 3:
        y = np.empty(x.shape, x.dtype)[::-1, ..., ::-1]
    else:
        y = np.empty_like(x)
    y[...] = x
    y.flags.writeable = how != 5
    return y


def parts(value):
    return list(value) if isinstance(value, tuple) else [value]


def trained(layer, inputs, dys):
    """Outputs, gradients of the inputs and of the parameters of one call."""
    layer.seed(7)
    layer.parameters().zero_grad()
    y, ctx = layer.forward(*inputs)
    dy = dys(parts(y))
    dx = layer.backward(tuple(dy) if isinstance(y, tuple) else dy[0], ctx)
    grads = [p.grad.copy() for p in layer.parameters()]
    return [*parts(y), *[d for d in parts(dx) if d is not None], *grads]


def gradient(seed, real):
    """A function that gives gradients for outputs, the same for both types."""

    def dys(ys):
        rng = np.random.default_rng(seed)
        return [rng.normal(size=y.shape).astype(np.float32).astype(real) for y in ys]

    return dys


def right(seed):
    """A call with drawn inputs: float32 near float64, and equal bits wherever the inputs lie."""
    rng = np.random.default_rng(seed)
    name = NAMES[seed % len(NAMES)]
    wide, inputs = LAYERS[name]()
    narrow, inputs = in_type(wide, np.float32), drawn(inputs, rng)
    found = trained(narrow, inputs, gradient(seed, np.float32))
    reals = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
    expected = trained(wide, reals, gradient(seed, np.float64))
    assert len(found) == len(expected)
    for y, right in zip(found, expected, strict=True):
        assert y.dtype == np.float32 and y.shape == right.shape
        size = max(1.0, np.abs(right).max(initial=0))
        np.testing.assert_allclose(y, right, rtol=2e-3, atol=2e-4 * size, err_msg=name)
    again = trained(narrow, [laid_out(x, rng) for x in inputs], gradient(seed, np.float32))
    for y, same in zip(again, found, strict=True):
        assert y.tobytes() == same.tobytes(), name
    special(name, narrow, inputs, rng)
    return name


def special(name, layer, inputs, rng):
    """NaN, infinities and extremes in one example leave the outputs of the others as they are."""
    value = rng.choice([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38, -3.4e38])
    if any(x.dtype.kind == "i" or len(x) < 2 for x in inputs):
        return
    spoiled = [x.copy() for x in inputs]
    spoiled[rng.integers(len(inputs))][0].flat[0] = value
    with np.errstate(all="ignore"):
        found = parts(layer(*spoiled))
    for y, other in zip(found, parts(layer(*inputs)), strict=True):
        assert y[1:].tobytes() == other[1:].tobytes(), (name, value)


def wrong_values(x, rng):
    """Something that is not what a layer takes in the place of x."""
    others = [value for _, value, _ in SCALARS]
    others += [x.astype(object), x.astype(complex), x.astype("U"), x[..., :0], x[..., None], x[0]]
    others += [x.astype(np.float16), x.astype(bool), np.float64(1), np.zeros((0,) * 9), x.tolist()]
    others += [np.repeat(x, 2, axis=-1), x.astype(x.dtype.newbyteorder()), -1 - x, x + 10**6]
    return others[rng.integers(len(others))]


def wrong(seed):
    """One argument of forward, inference or backward is random: a result, or a clear error."""
    rng = np.random.default_rng(seed)
    name = NAMES[seed % len(NAMES)]
    layer, inputs = LAYERS[name]()
    y, ctx = layer.forward(*inputs)
    layer.parameters().zero_grad()
    before = layer.parameters().data.tobytes() if len(list(layer.parameters())) else b""
    where = ("forward", "call", "backward")[seed // len(NAMES) % 3]
    try:
        if where == "backward":
            dy = parts(y)
            dy[rng.integers(len(dy))] = wrong_values(dy[0], rng)
            layer.backward(tuple(dy) if isinstance(y, tuple) else dy[0], ctx)
        else:
            inputs = list(inputs)
            place = rng.integers(len(inputs))
            inputs[place] = wrong_values(inputs[place], rng)
            (layer if where == "call" else layer.forward)(*inputs)
    except CLEAR as error:
        text = str(error)
        message = f"{name}.{where}: {type(error).__name__}: {text:.300}"
        assert text and "\n" not in text and len(text) < 600 and not BARE.search(text), message
        assert before == (layer.parameters().data.tobytes() if before else b"")
        if before:
            assert not layer.parameters().grad.any(), f"{name}: gradients after an error: {text}"
        return "refused"
    return "taken"
