"""Sums of more than 2^24 terms, at which a single float32 accumulator stops growing."""

import numpy as np
import pytest

import fastnn
from fastnn import kernels, matmul, pack

N = 2**24 + 2**20


def ones(*shape):
    """Ones of any shape, one number in memory."""
    return np.broadcast_to(np.float32(1), shape)


def row(n):
    return np.ones(n, np.float32)


def rows_of(m, n):
    """An (m, n) matrix whose contiguous rows share one buffer."""
    return np.broadcast_to(row(n), (m, n))


# path: (the product that adds n ones, n)
PRODUCTS = {
    "one row, rows of B": (lambda n: matmul(rows_of(1, n), np.broadcast_to(row(2), (n, 2))), N),
    "one row, no strides": (lambda n: matmul(ones(1, n), np.broadcast_to(row(2), (n, 2))), N),
    "one row, columns of B": (lambda n: matmul(ones(1, n), rows_of(2, n).T), N),
    "one row, 9 columns of B": (lambda n: matmul(ones(1, n), rows_of(9, n).T), N),
    "a dot product": (lambda n: matmul(row(n), row(n)), N),
    "one column, rows of A": (lambda n: matmul(rows_of(3, n), ones(n, 1)), N),
    "one column, columns of A": (
        lambda n: matmul(np.broadcast_to(row(2), (n, 2)).T, ones(n, 1)),
        N,
    ),
    "parts of k": (lambda n: matmul(ones(3, n), ones(n, 3)), N),
    "dot products": (lambda n: matmul(rows_of(64, n), ones(n, 3)), N),
    "loops": (lambda n: matmul(ones(64, n), ones(n, 16)), 2**21 + 5),
    "loops and a tail": (lambda n: matmul(rows_of(64, n), ones(n, 17)), 2**20 + 3),
    "packed": (lambda n: matmul(ones(2, n), pack(ones(n, 3))), 2**20 + 3),
    "a stack": (lambda n: matmul(ones(2, 1, n), ones(2, n, 2)), 300_001),
}


@pytest.mark.parametrize("path", PRODUCTS)
def test_products(path):
    product, n = PRODUCTS[path]
    np.testing.assert_allclose(product(n), n, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 2), (3, 3)], ids=str)
@pytest.mark.parametrize("activation", [None, "relu"])
def test_weight_and_bias_gradients(shape, activation):
    n_in, n_out = shape
    n = N // n_out
    dy, w = np.ones((n, n_out), np.float32), np.ones(shape, np.float32)
    dw, db = np.ones(shape, np.float32), np.ones(n_out, np.float32)
    kernels.linear_backward(
        dy,
        ones(n, n_in),
        w,
        dw=dw,
        db=db,
        y=ones(n, n_out) if activation is None else dy,
        activation=activation,
        need_dx=False,
        overwrite_dy=activation is None,
    )
    np.testing.assert_allclose(dw, n + 1, rtol=1e-6)
    np.testing.assert_allclose(db, n + 1, rtol=1e-6)


def test_an_embedding_row_that_is_named_by_every_id():
    ids, table = np.ones(N, np.int64), np.ones((3, 1), np.float32)
    kernels.embedding_backward(ids, ones(N, 1), dweight=table, scale=0.5)
    np.testing.assert_allclose(table, [[1], [N / 2 + 1], [1]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm"])
def test_gradients_of_a_norm(kind):
    n, d = 2**20 + 3, 4
    stats = np.zeros((n, 3), np.float32)
    stats[:, 2] = 1
    dweight, dbias = np.zeros((2, d), np.float32)
    sums = {"dweight": dweight} if kind == "rms_norm" else {"dweight": dweight, "dbias": dbias}
    getattr(kernels, f"{kind}_backward")(ones(n, d), ones(n, d), stats, **sums)
    for got in sums.values():
        np.testing.assert_allclose(got, n, rtol=1e-6)


def test_the_gradient_of_slopes():
    for a in (row(2), row(1)):
        n = N // 2
        da = np.zeros_like(a)
        dy = np.broadcast_to(row(2), (n, 2))
        kernels.prelu_backward(dy, np.broadcast_to(-row(2), (n, 2)), a, da=da)
        np.testing.assert_allclose(da, -n * 2 / a.size, rtol=1e-6)


def test_losses_and_norms():
    assert fastnn.frobenius_norm(ones(2**12, 2**13)) == pytest.approx(2**12.5, rel=1e-6)
    x = row(N // 2)
    for loss, want in ((kernels.mse, 1), (kernels.l1, 1), (kernels.huber, 0.5)):
        assert loss(x, np.zeros_like(x))[0] == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("k", [3_000, 100_000, 400_000])
def test_random_sums_are_as_accurate_as_numpy(k, rng):
    """One row or column times a matrix: errors within those of NumPy's pairwise or blocked sums."""
    x, b = rng.random((1, k), np.float32), rng.random((k, 8), np.float32)
    want = x.astype(np.float64) @ b.astype(np.float64)
    for got in (matmul(x, b), matmul(x, np.asfortranarray(b)), matmul(b.T, x.T).T):
        assert np.abs(got / want - 1).max() < 3e-6


@pytest.mark.parametrize("vocab", [1, 3, 700, 5000])
def test_frequent_ids(vocab, real, rng):
    """Beside rare and skipped ids and equal low bits; the same bits with any number of threads."""
    often = np.array([0, 1, 1024, 2048, 4096]) % vocab
    rare = rng.integers(0, vocab, 9_000)
    ids = np.where(rng.random(9_000) < 0.9, rng.choice(often, 9_000), rare)
    rows, d = int(ids.max()) + 1, 37
    dy = rng.standard_normal((9_000, d)).astype(real)
    start = rng.standard_normal((rows, d)).astype(real)
    want = start.astype(np.float64)
    keep = ids != 1
    np.add.at(want, ids[keep], 0.5 * dy[keep].astype(np.float64))
    results = set()
    for n_threads in (1, 2, 3, 8):
        with fastnn.num_threads(n_threads):
            table = start.copy()
            kernels.embedding_backward(
                ids, dy, dweight=table, scale=0.5, padding_idx=1 if rows > 1 else None
            )
        results.add(table.tobytes())
    assert len(results) == 1
    if rows > 1:
        np.testing.assert_allclose(
            table, want, rtol=0, atol=200 * np.finfo(real).eps * np.abs(want).max()
        )


def test_occurrences_up_to_the_fold_are_added_one_by_one(rng):
    """1,024 occurrences of an id are summed in order; the next starts a second sum."""
    dy = rng.standard_normal((1030, 3)).astype(np.float32)
    for n in (1023, 1024, 1025, 1030):
        table, want = np.zeros((2, 3), np.float32), np.zeros(3, np.float32)
        kernels.embedding_backward(np.ones(n, int), dy[:n], dweight=table)
        for r in dy[:1024][:n]:
            want += r
        rest = np.zeros(3, np.float32)
        for r in dy[1024:n]:
            rest += r
        np.testing.assert_array_equal(table[1], want + rest)
