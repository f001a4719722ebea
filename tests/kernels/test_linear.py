"""linear_backward against its three formulas in float64."""

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn.kernels import linear_backward

from .variants import layouts

# activation -> what its derivative reads, and the derivative in float64
SLOPES = {
    None: (None, lambda _: 1.0),
    "relu": ("y", lambda y: y > 0),
    "tanh": ("y", lambda y: 1 - y * y),
    "sigmoid": ("y", lambda y: y * (1 - y)),
    "gelu": ("preact", lambda z: kernels.gelu_backward(np.ones_like(z), z)),
    "gelu_tanh": (
        "preact",
        lambda z: kernels.gelu_backward(np.ones_like(z), z, approximate="tanh"),
    ),
    "silu": ("preact", lambda z: kernels.silu_backward(np.ones_like(z), z)),
}
ACTIVATIONS = [name for name in SLOPES if name]


def problem(rng, n, n_in, n_out, real):
    dy, x, w = (
        rng.standard_normal((n, n_out)),
        rng.standard_normal((n, n_in)),
        rng.standard_normal((n_in, n_out)),
    )
    y = np.maximum(rng.standard_normal((n, n_out)), 0)
    return [a.astype(real) for a in (dy, x, w, y)]


@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (5, 3, 2),
        (128, 64, 10),
        (65, 33, 129),
        (700, 20, 30),
        (0, 4, 3),
        (4, 0, 3),
        (4, 3, 0),
    ],
)
def test_adds_to_the_gradients(shape, activation, real, rng, n_threads):
    dy, x, w, y = problem(rng, *shape, real)
    dw, db = rng.standard_normal(w.shape).astype(real), rng.standard_normal(w.shape[1]).astype(real)
    dw0, db0, dy0 = dw.copy(), db.copy(), dy.copy()
    saved, slope = SLOPES[activation]
    dx = linear_backward(
        dy, x, w, dw=dw, db=db, activation=activation, **({saved: y} if saved else {})
    )
    dz64 = dy.astype(np.float64) * slope(y.astype(np.float64))
    tolerance = 50 * np.finfo(real).eps * (sum(shape) + 1)
    np.testing.assert_allclose(dw, dw0 + x.T.astype(np.float64) @ dz64, rtol=0, atol=tolerance)
    np.testing.assert_allclose(db, db0 + dz64.sum(0), rtol=0, atol=tolerance)
    np.testing.assert_allclose(dx, dz64 @ w.T, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(dy, dy0)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_any_layout(activation, real, rng):
    dy, x, w, y = problem(rng, 30, 40, 20, real)
    dw, db = np.zeros_like(w), np.zeros(20, real)
    saved, _ = SLOPES[activation]
    plain = linear_backward(dy, x, w, dw=dw, db=db, activation=activation, **{saved: y})
    for views in zip(layouts(dy), layouts(x), layouts(w), layouts(y), strict=True):
        (name, dy_), (_, x_), (_, w_), (_, y_) = views
        dw_, db_ = np.zeros_like(w), np.zeros(20, real)
        dx = linear_backward(dy_, x_, w_, dw=dw_, db=db_, activation=activation, **{saved: y_})
        assert (dx == plain).all() and (dw_ == dw).all() and (db_ == db).all(), name


def test_first_layer_and_no_bias(real, rng):
    dy, x, w, _ = problem(rng, 8, 5, 3, real)
    dw = np.zeros_like(w)
    assert linear_backward(dy, x, w, dw=dw, need_dx=False) is None
    np.testing.assert_allclose(dw, x.T @ dy, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", SLOPES)
def test_same_bits_at_any_thread_count(activation, real, rng):
    dy, x, w, y = problem(rng, 1000, 130, 70, real)
    saved, _ = SLOPES[activation]
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            dw, db = np.zeros_like(w), np.zeros(70, real)
            dx = linear_backward(
                dy, x, w, dw=dw, db=db, activation=activation, **({saved: y} if saved else {})
            )
            results.add((dx.tobytes(), dw.tobytes(), db.tobytes()))
    assert len(results) == 1


def test_refuses_and_adds_nothing(rng):
    dy, x, w, y = problem(rng, 8, 5, 3, np.float32)
    dw, db = np.zeros_like(w), np.zeros(3, np.float32)
    frozen = np.zeros_like(w)
    frozen.flags.writeable = False
    wide = np.zeros((8, 3), np.float32)
    wrong = [
        *(
            (
                {"dw": dw, "db": db, "activation": name, other: y},
                ValueError,
                f"needs {SLOPES[name][0]}",
            )
            for name in ACTIVATIONS
            for other in ({"y", "preact"} - {SLOPES[name][0]})
        ),
        ({"dw": dw.T.copy(), "db": db}, ValueError, "dw must have the shape of w"),
        ({"dw": np.asfortranarray(dw), "db": db}, ValueError, "dw must be C-contiguous"),
        ({"dw": frozen, "db": db}, ValueError, "dw is read-only"),
        ({"dw": dw, "db": np.zeros(4, np.float32)}, ValueError, r"db must have the shape \(3,\)"),
        ({"dw": dw.astype(np.float64), "db": db}, TypeError, "dw is of float64"),
        ({"dw": w, "db": db}, ValueError, "dw overlaps w"),
        ({"dw": dw, "db": dw[0]}, ValueError, "db overlaps dw"),
        (
            {"dw": dw, "db": db, "y": y[:3], "activation": "relu"},
            ValueError,
            "y must have the shape of dy",
        ),
        (
            {"dw": dw, "db": db, "preact": y.astype(np.float64), "activation": "silu"},
            TypeError,
            "preact is of float64",
        ),
        ({"dw": wide[:5], "preact": wide, "activation": "gelu"}, ValueError, "dw overlaps preact"),
        ({"dw": dw, "db": db, "activation": "swish"}, ValueError, "activation must be one of"),
        ({"dw": dw, "db": db, "activation": ["relu"]}, ValueError, "activation must be one of"),
    ]
    for arguments, error, message in wrong:
        with pytest.raises(error, match=message):
            linear_backward(dy, x, w, **arguments)
    with pytest.raises(ValueError, match=r"dy \(8, 3\), x \(7, 5\) and w \(5, 3\)"):
        linear_backward(dy, x[:7], w, dw=dw, db=db)
    assert not dw.any() and not db.any()


@pytest.mark.parametrize("activation", SLOPES)
def test_dz_in_the_place_of_dy(activation, real, rng):
    dy, x, w, y = problem(rng, 70, 13, 9, real)
    saved = SLOPES[activation][0]
    how = {"activation": activation, **({saved: y} if saved else {})}
    given, found = [], []
    for overwrite_dy in (False, True):
        dw, db, mine = np.zeros_like(w), np.zeros(9, real), dy.copy()
        dx = linear_backward(mine, x, w, dw=dw, db=db, overwrite_dy=overwrite_dy, **how)
        given.append(mine)
        found.append((dx, dw, db))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (given[0] == dy).all() and (activation is None or (given[1] != dy).any())
    if saved:
        with pytest.raises(ValueError, match=f"dy.*overlap|overlap.*{saved}"):
            linear_backward(y, x, w, dw=dw, db=db, overwrite_dy=True, **how)
    dy.flags.writeable = False  # then it is left alone
    linear_backward(dy, x, w, dw=dw, db=db, overwrite_dy=True, **how)


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@pytest.mark.parametrize("need_dx", [True, False])
def test_without_dw_the_other_gradients_are_the_same(activation, need_dx, real):
    """Of frozen weights: their product is skipped."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape).astype(real) for shape in ((70, 9), (9, 33), (70, 33)))
    preact = x @ w
    y = np.maximum(preact, 0)
    saved = {} if activation is None else {"y": y} if activation == "relu" else {"preact": preact}
    how = {"activation": activation, "need_dx": need_dx, **saved}
    found = []
    for dw in (np.zeros_like(w), None):
        db = np.ones(33, real)
        found.append((kernels.linear_backward(dy, x, w, dw=dw, db=db, **how), db))
    for a, b in zip(*found, strict=True):
        assert b is None if a is None else np.array_equal(a, b)
    assert kernels.linear_backward(dy, x, w, need_dx=False) is None
