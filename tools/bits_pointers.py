"""The cases of bits.py that call the functions of fastnn.h, by ctypes."""

import ctypes

import numpy as np

from fastnn import capi
from fastnn import kernels as fk


def pointers():
    """Yield cases of the functions of fastnn.h that have separate code."""

    def call(name, data, *arguments):
        """Return the outputs of a pointer function; arrays are passed by address, None as NULL."""
        suffix = "f32" if data.dtype == np.float32 else "f64"
        function = capi.ctypes(f"{name}_{suffix}")
        given = [
            a.ctypes.data_as(t) if isinstance(a, np.ndarray) else a
            for a, t in zip(arguments, function.argtypes, strict=True)
        ]
        return function(*given), [a for a in arguments if isinstance(a, np.ndarray)]

    m, k, n = 7, 19, 33

    def gemm(data):
        a, b, c, bias, z = data(m, k), data(k, n), data(m, n), data(n), data(m, n)
        yield call("gemm", data, m, n, k, 0.5, a, k, 1, b, n, 1, 0.3, c, n, 1, bias, 2, z)
        dw, db = data(k, n), data(n)
        yield call("linear_backward", data, m, k, n, c, a, k, 1, b, n, 1, z, 2, dw, db, a.copy())

    def elements(data):
        x, y, a, da, dx = data(m, n), data(m, n), data(n), data(n), data(m, n)
        for kind in range(-1, 9):
            yield call("activation", data, kind, m, n, x, n, y, n)
            yield call("activation_backward", data, kind, m, n, x, n, y, n, dx, n)
        yield call("prelu", data, 0, m, n, x, n, a, y, n)
        yield call("prelu_backward", data, 0, m, n, x, n, y, n, a, dx, n, da)
        yield call("dropout", data, m, n, x, n, y, n, 0.3, 5, 2, dx, n)
        yield call("scale", data, m * n, 0.3, x)
        yield call("frobenius_norm", data, m * n, x, np.zeros(1))
        yield call("squared_norm", data, m * n, x, np.zeros(1))

    def lines(data):
        x, y, dx, lengths = data(m, n), data(m, n), data(m, n), data.ids(n + 1, m)
        for name in ("softmax", "log_softmax"):
            yield call(name, data, m, n, x, n, y, n)
            yield call(f"{name}_backward", data, m, n, x, n, y, n, dx, n)
        yield call("masked_softmax", data, m, n, x, n, lengths, 1, y, n)
        yield call("masked_softmax_backward", data, m, n, x, n, y, n, lengths, 1, dx, n)
        stats, h, w, b = data(m, 3), data(m, n), data(n), data(n)
        dw, db, dh = data(n), data(n), data(m, n)
        for rms in (0, 1):
            drop = (0.2, 5, 2)
            out = (h, n, y, n, stats)
            yield call("layer_norm", data, rms, m, n, x, n, dx, n, *drop, w, b, 1e-5, *out)
            back = (x, n, h, n, stats, w, None, n, *drop, dh, n, y, n, dw, db)
            yield call("layer_norm_backward", data, rms, m, n, *back)

    def ends(data):
        x, t, dx, loss, labels = data(m, n), data(m, n), data(m, n), np.zeros(1), data.ids(n, m)
        yield call("cross_entropy", data, m, n, x, n, labels, dx, n, loss)
        more = (abs(data(n)), abs(data(m)), 0.1, 1, dx, n, data(m), loss)
        yield call("weighted_cross_entropy", data, m, n, x, n, labels, 3, None, n, *more)
        yield call("mse", data, m * n, x, t, dx, loss)
        for kind in range(4):
            more = (abs(data(m)), n, abs(data(n)), n, 0.5, 1, dx, data(m, n), loss)
            yield call("loss", data, kind, m * n, x, fk.sigmoid(t), *more)
        ids, table = data.ids(k, m), data(k, n)
        yield call("embedding", data, m, k, n, ids, table, n, 1.5, x, n)
        yield call("embedding_backward", data, m, k, n, ids, 2, x, n, 1.5, table, n)

    def optimizers(data):
        p, g, a, b, c = data(n), data(n), abs(data(n)), abs(data(n)), abs(data(n)) * 0.1
        yield call("sgd", data, n, p, g, a, 0.1, 0.9, 1, 0.01, 0.5)
        yield call("adam", data, n, p, g, a, b, 3, 0.1, 0.9, 0.99, 1e-8, 0.01, 1, 0.5)
        yield call("rmsprop", data, n, p, g, b, a, c, 0.1, 0.99, 1e-3, 0.9, 0.01, 0.5)
        yield call("adagrad", data, n, p, g, b, 3, 0.1, 0.01, 1e-8, 0.01, 0.5)
        yield call("ema", data, n, p, g, 0.9)

    def attention(data):
        sizes, d = np.array([2, 4, 2, 5, 9, 8, 8]), 8
        q, k, v, out = data(2, 4, 5, d), data(2, 2, 9, d), data(2, 2, 9, d), data(2, 4, 5, d)
        sq, sk = np.array([20 * d, 5 * d, d]), np.array([18 * d, 9 * d, d])
        lse, lengths, along = data(2, 4, 5), np.array([4, 9]), np.array([1, 0])
        where = (lengths, along, 0, ctypes.c_void_p(), None, 0.1, 5, 2)
        forward = (sizes, q, sq, k, sk, v, sk, out, sq, lse, 0.4, 0, *where)
        yield call("attention", data, *forward)
        grads = (data(2, 4, 5, d), data(2, 2, 9, d), data(2, 2, 9, d), 0.4, 0)
        back = (sizes, data(*out.shape), q, sq, k, sk, v, sk, out, sq, lse, *grads, *where)
        yield call("attention_backward", data, *back)
        table, four = data(9, d), np.array([2, 4, 5, d])
        yield call("rotary_table", data, 9, d, 10000.0, table)
        yield call("rotary", data, four, q, sq, table, 9, np.array([1, 3]), 1, 1, out, sq)

    for calls in (gemm, elements, lines, ends, optimizers, attention):
        yield f"pointers {calls.__name__}", lambda data, calls=calls: list(calls(data))


GROUPS = (pointers,)
