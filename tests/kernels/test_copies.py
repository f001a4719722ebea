"""All copies of a loop give the same bits, whatever a compiler makes of each of them.

A kernel takes four rows at a time or one, whole vectors or a part of one, and each is another copy
of the same expressions. Whether a product is fused into the sum that it goes to must not depend on
the copy. Every function of rows and of elements is here; products and attention are in
`test_batch_invariance.py`, updates in `test_update_bits.py`.
"""

import numpy as np
import pytest

from fastnn import kernels as fk

ROWS = 9  # two groups of four and one row
COLUMNS = [1, 3, 16, 37, 64, 333]


def stats_of(norm, x):
    stats = np.empty((len(x), 3), x.dtype)
    norm(x, stats=stats)
    return stats


def add_norm(kind):
    def call(x, dy, weight):
        stats, h = np.empty((len(x), 3), x.dtype), np.empty_like(x)
        y = fk.add_norm(x, dy, weight, kind=kind, h=h, stats=stats)
        return y, h, stats, *fk.add_norm_backward(dy, h, stats, weight, kind=kind, dh=x)

    return call


# name -> function of rows x and dy, and of one value for each column.
OF_ROWS = {
    "softmax": lambda x, dy, w: (y := fk.softmax(x), fk.softmax_backward(dy, y)),
    "log_softmax": lambda x, dy, w: (y := fk.log_softmax(x), fk.log_softmax_backward(dy, y)),
    "layer_norm": lambda x, dy, w: (
        fk.layer_norm(x, w, w),
        fk.layer_norm_backward(dy, x, stats_of(fk.layer_norm, x), w),
        stats_of(fk.layer_norm, x),
    ),
    "layer_norm, plain": lambda x, dy, w: (
        fk.layer_norm(x),
        fk.layer_norm_backward(dy, x, stats_of(fk.layer_norm, x)),
    ),
    "rms_norm": lambda x, dy, w: (
        fk.rms_norm(x, w),
        fk.rms_norm_backward(dy, x, stats_of(fk.rms_norm, x), w),
        stats_of(fk.rms_norm, x),
    ),
    "add_norm": add_norm("layer"),
    "add_norm, rms": add_norm("rms"),
    "prelu": lambda x, dy, w: (fk.prelu(x, w), fk.prelu_backward(dy, x, w)),
    "rotary": lambda x, dy, w: (
        fk.rotary(np.ascontiguousarray(np.concatenate([x, dy], axis=1)[:, None, None])),
    ),
    "cross_entropy": lambda x, dy, w: fk.cross_entropy(
        x, np.zeros(len(x), np.int64), reduction="none"
    ),
    "cross_entropy, smoothed": lambda x, dy, w: fk.cross_entropy(
        x, np.zeros(len(x), np.int64), weight=abs(w), label_smoothing=0.1, reduction="none"
    ),
    "cross_entropy, classes": lambda x, dy, w: fk.cross_entropy(
        x, fk.softmax(dy), reduction="none"
    ),
}


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("name", OF_ROWS)
def test_rows_alone_and_in_groups(name, columns, real, rng):
    x, dy = (rng.standard_normal((ROWS, columns)).astype(real) for _ in range(2))
    x[:4] *= 1000  # a large offset and a small deviation, where a fused product shows most
    x[4:6] += 100
    weight = rng.standard_normal(columns).astype(real)
    call = OF_ROWS[name]
    whole = [np.asarray(part) for part in call(x, dy, weight)]
    for start, stop in [*((i, i + 1) for i in range(ROWS)), (1, 5), (2, 8), (3, 9)]:
        parts = call(x[start:stop], dy[start:stop], weight)
        for i, (part, every) in enumerate(zip(parts, whole, strict=True)):
            assert np.asarray(part).tobytes() == every[start:stop].tobytes(), (i, start, stop)


def loss(name, **options):
    return lambda x, t: getattr(fk, name)(x, t, reduction="none", **options)


# name -> function of elements x and dy.
OF_ELEMENTS = {
    **{name: lambda x, dy, f=forward: (f(x),) for name, (forward, _, _) in fk.ACTIVATIONS.items()},
    **{
        f"{name}, backward": lambda x, dy, f=backward: (f(dy, x),)
        for name, (_, backward, _) in fk.ACTIVATIONS.items()
    },
    "leaky_relu": lambda x, dy: (fk.leaky_relu(x, 0.3), fk.leaky_relu_backward(dy, x, 0.3)),
    "mse": loss("mse"),
    "l1": loss("l1"),
    "huber": loss("huber", delta=0.7),
    "bce_with_logits": lambda x, dy: fk.bce_with_logits(
        x, (dy > 0).astype(x.dtype), pos_weight=1.7, reduction="none"
    ),
}


@pytest.mark.parametrize("name", OF_ELEMENTS)
def test_elements_in_whole_vectors_and_in_parts(name, real, rng):
    """An element has the same bits wherever it lies in a run and wherever the run begins."""
    x, dy = (rng.standard_normal(200).astype(real) * 3 for _ in range(2))
    call = OF_ELEMENTS[name]
    whole = [np.asarray(part) for part in call(x, dy)]
    for start in (0, 1, 2, 3, 5, 7, 16, 33):
        for stop in (start + 1, start + 3, start + 15, start + 16, start + 17, 97, 199):
            parts = call(x[start:stop], dy[start:stop])
            for i, (part, every) in enumerate(zip(parts, whole, strict=True)):
                assert np.asarray(part).tobytes() == every[start:stop].tobytes(), (i, start, stop)
