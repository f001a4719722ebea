"""Large results with non-temporal stores: the bits of small ones, and intact neighbors."""

from functools import partial

import numpy as np
import pytest

import fastnn
from fastnn import kernels

CHOICES = fastnn.build_info()["machine"]["choices"]
LARGE = CHOICES["streamed"]  # bytes
LARGE_ROWS = CHOICES["streamed_rows"]
COLUMNS = 1001
PART = 64  # rows: far below LARGE

pytestmark = pytest.mark.skipif(
    LARGE_ROWS > 128 << 20, reason="needs gigabytes; set FASTNN_CACHE_SIZES=48K,1M,32M"
)

FORWARD = {
    "relu": kernels.relu,
    "sigmoid": kernels.sigmoid,
    "tanh": kernels.tanh,
    "gelu": kernels.gelu,
    "gelu_tanh": partial(kernels.gelu, approximate="tanh"),
    "silu": kernels.silu,
    "softplus": kernels.softplus,
    "leaky_relu": kernels.leaky_relu,
    "softmax": kernels.softmax,
    "log_softmax": kernels.log_softmax,
}
BACKWARD = {
    "relu": kernels.relu_backward,
    "sigmoid": kernels.sigmoid_backward,
    "tanh": kernels.tanh_backward,
    "gelu": kernels.gelu_backward,
    "gelu_tanh": partial(kernels.gelu_backward, approximate="tanh"),
    "silu": kernels.silu_backward,
    "softplus": kernels.softplus_backward,
    "leaky_relu": kernels.leaky_relu_backward,
    "softmax": kernels.softmax_backward,
    "log_softmax": kernels.log_softmax_backward,
}
LOSSES = {
    "mse": (kernels.mse, "dpred"),
    "l1": (kernels.l1, "dpred"),
    "huber": (partial(kernels.huber, delta=0.5), "dpred"),
    "bce_with_logits": (kernels.bce_with_logits, "dlogits"),
}


def inputs(real, rng, count=1, least=LARGE):
    rows = least // (COLUMNS * np.dtype(real).itemsize) + 3
    return [rng.standard_normal((rows, COLUMNS), real) for _ in range(count)]


def outputs(like):
    """Yield (array, check of its surroundings): aligned or not, with or without row gaps."""
    rows, real = len(like), like.dtype
    for offset, gap in ((0, 0), (1, 0), (3, 7), (0, 23)):
        memory = np.full(rows * (COLUMNS + gap) + 64, 7, real)
        start = (-memory.ctypes.data % 64) // memory.itemsize + offset
        wide = memory[start : start + rows * (COLUMNS + gap)].reshape(rows, COLUMNS + gap)

        def check(memory=memory, start=start, wide=wide):
            around = [memory[:start], memory[start + wide.size :], wide[:, COLUMNS:]]
            assert all((part == 7).all() for part in around), "written outside of the output"

        yield wide[:, :COLUMNS], check


def by_parts(function, *arrays):
    starts = range(0, len(arrays[0]), PART)
    return np.concatenate([function(*(a[i : i + PART] for a in arrays)) for i in starts])


def assert_same_as_by_parts(function, arrays):
    want = by_parts(function, *arrays)
    for threads in (1, 2, 3):
        with fastnn.num_threads(threads):
            for out, check in outputs(arrays[0]):
                assert function(*arrays, out=out) is out
                np.testing.assert_array_equal(out, want)
                check()
    in_place = arrays[0].copy()
    function(in_place, *arrays[1:], out=in_place)
    np.testing.assert_array_equal(in_place, want)


def least(name):
    return LARGE_ROWS if "softmax" in name else LARGE


@pytest.mark.parametrize("name", FORWARD)
def test_forward(name, real, rng):
    assert_same_as_by_parts(FORWARD[name], inputs(real, rng, 1, least(name)))


@pytest.mark.parametrize("name", BACKWARD)
def test_backward(name, real, rng):
    assert_same_as_by_parts(BACKWARD[name], inputs(real, rng, 2, least(name)))


@pytest.mark.parametrize("slopes", [1, COLUMNS])
def test_prelu(slopes, real, rng):
    dy, x = inputs(real, rng, 2)
    a = rng.random(slopes).astype(real)
    assert_same_as_by_parts(lambda x, out=None: kernels.prelu(x, a, out=out), [x])
    sums = []
    for out, check in outputs(x):
        sums.append(np.zeros_like(a))
        kernels.prelu_backward(dy, x, a, da=sums[-1], out=out)
        np.testing.assert_array_equal(out, by_parts(partial(kernels.prelu_backward, a=a), dy, x))
        np.testing.assert_array_equal(sums[-1], sums[0])
        check()


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, real, rng):
    pred, target = inputs(real, rng, 2)
    target = np.abs(target) % 1
    loss, gradient = LOSSES[name]
    want = by_parts(lambda p, t: loss(p, t, reduction="sum")[1], pred, target)
    totals = set()
    for out, check in outputs(pred):
        total, d = loss(pred, target, reduction="sum", **{gradient: out})
        totals.add(total)
        assert d is out
        np.testing.assert_array_equal(out, want)
        check()
    assert len(totals) == 1


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_cross_entropy(label_smoothing, real, rng):
    (logits,) = inputs(real, rng, 1, LARGE_ROWS)
    targets = rng.integers(0, COLUMNS, len(logits))
    targets[5] = -100
    loss = partial(kernels.cross_entropy, reduction="sum", label_smoothing=label_smoothing)
    want = by_parts(lambda o, t: loss(o, t)[1], logits, targets)
    totals = set()
    for out, check in outputs(logits):
        totals.add(loss(logits, targets, dlogits=out)[0])
        np.testing.assert_array_equal(out, want)
        check()
    in_place = logits.copy()
    totals.add(loss(in_place, targets, dlogits=in_place)[0])
    np.testing.assert_array_equal(in_place, want)
    assert len(totals) == 1


def test_rows_too_long_to_be_buffered(real, rng):
    n = LARGE_ROWS // np.dtype(real).itemsize // 3
    x = rng.standard_normal((4, n)).astype(real)
    for function in (kernels.softmax, kernels.log_softmax):
        np.testing.assert_array_equal(
            function(x), np.concatenate([function(x[i : i + 1]) for i in range(4)])
        )
