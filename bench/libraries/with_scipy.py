"""SciPy: its BLAS called directly, ``scipy.linalg.norm`` and ``scipy.special.softmax``."""

from __future__ import annotations

import numpy as np
import scipy
import scipy.linalg
import scipy.special

from ..operations import Arrays
from . import Call, blas_architecture, blas_threads

VERSION = f"scipy {scipy.__version__}"
ISA = blas_architecture()
threads = blas_threads


def _matmul(inputs: Arrays) -> Call:
    """Compute y = a b as y' = b' a', which needs no copies in BLAS's Fortran order."""
    a, b = inputs["a"], inputs["b"]
    gemm = scipy.linalg.get_blas_funcs("gemm", (a, b))
    y = np.empty((a.shape[0], b.shape[1]), a.dtype)

    def operand(x: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return a Fortran-ordered array, and True if BLAS has to transpose it to get x'."""
        return (x.T, False) if x.flags.c_contiguous else (x, True)

    (left, trans_left), (right, trans_right) = operand(b), operand(a)
    options = {"trans_a": trans_left, "trans_b": trans_right, "c": y.T, "overwrite_c": True}
    return lambda: (gemm(1.0, left, right, beta=0.0, **options).T,)


def _frobenius_norm(inputs: Arrays) -> Call:
    x = inputs["x"]
    return lambda: (scipy.linalg.norm(x, check_finite=False),)


def _softmax(inputs: Arrays) -> Call:
    x = inputs["x"]
    return lambda: (scipy.special.softmax(x, axis=1),)


PREPARE = {
    "matmul": _matmul,
    "frobenius_norm": _frobenius_norm,
    "softmax": _softmax,
    "call_matmul": _matmul,
}
