"""Dropout from a counter-based generator (*Dive into Deep Learning*, section 5.6).

    y_i = x_i / (1 - p) if w_i >= p 2^32, else 0

Srivastava et al., JMLR 2014. w_i is word i of Philox 4x32-10 keyed by seed and step; i is the
position in C order.

The words are a function of (seed, step, i) alone (simd/philox.h). Backward therefore recomputes the
mask instead of reading a stored one, and the mask is the same for any number of threads,
instruction set, strides and real type. p is rounded to a multiple of 2^-32. A dropped element is 0,
even if it was NaN.
"""
cimport numpy as cnp
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from ..ground.arrays cimport BAD_ARGUMENT, OK, bad_rows
from ..ground.dispatch cimport dropout_run, philox_run, real, shifted
from ..ground.machine cimport machine
from ..ground.rows cimport RowCall, RowKernel, over_rows
from ..ground.scalars cimport is_probability, probability, whole_number, word
from ..ground.threads cimport Block, block_of, run_team, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 4096        # elements: a long row is split between threads in blocks of this size
    KEEP_GIL = 4096     # elements below which a call keeps the GIL (docs/tuning.md)


cdef inline void drop(
    int64_t n, const real *x, const real *residual, double p, uint64_t seed, uint64_t step,
    uint64_t first, real *y
) noexcept nogil:
    """Apply dropout to one run. p = 0 or 1 needs no random words."""
    if n == 0:
        return
    if residual is NULL and p == 0:
        if x != y:
            memcpy(y, x, n * sizeof(real))
    elif residual is NULL and p == 1:
        memset(y, 0, n * sizeof(real))
    else:
        dropout_run(n, x, residual, p, seed, step, first, y)


cdef void dropout_part(
    int team, int thread, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    const real *residual, int64_t ldresidual, double p, uint64_t seed, uint64_t step,
    real *y, int64_t ldy
) noexcept nogil:
    cdef Block b = block_of(rows, cols, BLOCK, team, thread)
    cdef int64_t i
    for i in range(b.row, b.row + b.rows):
        drop(
            b.cols, x + i * ldx + b.col, shifted(residual, i * ldresidual + b.col), p, seed, step,
            i * cols + b.col, y + i * ldy + b.col
        )


cdef int dropout_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, real *y, int64_t ldy
) noexcept nogil:
    if bad_rows(rows, cols, x, y) or not is_probability(p):
        return BAD_ARGUMENT
    run_team(
        threads_for(<double>rows * cols, machine.math_grain), dropout_part[real], rows, cols, x,
        ldx, residual, ldresidual, p, seed, step, y, ldy
    )
    return OK


cdef struct Mask:
    double p
    uint64_t seed, step


cdef int on_rows(const RowCall *c, const real *like) noexcept nogil:
    cdef const Mask *m = <const Mask*>c.options
    return dropout_real(
        c.rows, c.cols, <const real*>c.x, c.ldx, <const real*>NULL, 0, m.p, m.seed, m.step,
        <real*>c.y, c.ldy
    )


cdef RowKernel _on_rows = RowKernel(on_rows[float], on_rows[double], KEEP_GIL)


cdef object apply(object x, object p, object seed, object step, object out, str op, str name):
    cdef Mask m = Mask(probability(p, op, "p"), word(seed, op, "seed"), word(step, op, "step"))
    return over_rows(&_on_rows, &m, True, op, x, name, None, None, out)


def dropout(x, p, *, seed, step, out=None):
    """Set each element to zero with probability p and scale the others by 1 / (1 - p).

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides
    p : float
        From 0 (a copy) to 1 (zeros), rounded to a multiple of 2^-32.
    seed, step : int
        From 0 to 2^64 - 1. The mask depends only on these two and on the position of an element in
        C order. The same seed with another step gives an independent pattern.
    out : ndarray, optional
        The type and shape of x; may be x itself, but must not overlap it otherwise.

    Returns
    -------
    ndarray
        ``out`` if given. A dropped element is 0, even if x is NaN or infinite there.

    Raises
    ------
    TypeError
        If an argument is of another type.
    ValueError
        If p, seed or step is out of range, or out has another shape, is read-only or overlaps x.

    Examples
    --------
    >>> y = fastnn.dropout(np.ones(1000, np.float32), 0.5, seed=0, step=0)
    >>> np.unique(y), bool(abs(y.mean() - 1) < 0.1)
    (array([0., 2.], dtype=float32), True)
    """
    return apply(x, p, seed, step, out, "dropout", "x")


def dropout_backward(dy, p, *, seed, step, out=None):
    """Return the gradient of the input of `dropout`: dropout of dy by the same p, seed and step.

    Parameters, returns and errors are those of `dropout`.

    Examples
    --------
    >>> y = fastnn.dropout(np.ones(8, np.float32), 0.5, seed=0, step=3)
    >>> dx = fastnn.dropout_backward(np.ones(8, np.float32), 0.5, seed=0, step=3)
    >>> bool((dx == y).all())  # the same elements, without a stored mask
    True
    """
    return apply(dy, p, seed, step, out, "dropout_backward", "dy")


def philox(n, *, seed, step=0, block=0):
    """Return n random 32-bit words of the generator behind `dropout`.

    Philox 4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
    SC 2011.

    Parameters
    ----------
    n : int
        At least 0.
    seed, step : int
        From 0 to 2^64 - 1: the key, and the upper half of the counter.
    block : int
        From 0 to 2^64 - 1: the lower half of the counter. The words start at this block of four.

    Returns
    -------
    ndarray of uint32, shape (n,)
        Word i of block 0 decides about element i in `dropout`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not an int or is out of range.

    Examples
    --------
    >>> fastnn.kernels.philox(3, seed=0)
    array([1713891541, 3781805453, 3159862348], dtype=uint32)
    """
    cdef uint64_t key = word(seed, "philox", "seed"), number = word(step, "philox", "step")
    cdef uint64_t start = word(block, "philox", "block")
    cdef int64_t count = whole_number(n, 0, INT64_MAX, "philox", "n")
    cdef cnp.ndarray words
    try:
        words = np.empty(count, np.uint32)
    except (MemoryError, ValueError):       # ValueError: more bytes than an address can count
        raise MemoryError(f"philox: no memory for n = {count} words") from None
    cdef uint32_t *data = <uint32_t*>cnp.PyArray_DATA(words)
    with nogil:
        philox_run(count, key, number, start, data)
    return words
