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
from cython.parallel cimport parallel
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, OK, Rows, check_in_place, check_status, finish_output, flatten, output_rows,
    real_type, with_rows,
)
from ..ground.dispatch cimport dropout_run, philox_words, real, shifted
from ..ground.scalars cimport is_probability, probability, whole_number, word
from ..ground.threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 4096        # elements: a long row is split between threads in blocks of this size
    GRAIN = 8192        # minimum elements per thread (docs/tuning.md)
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


cdef void dropout_share(
    int team, int thread, int64_t rows, int64_t cols, const real *x, int64_t ldx,
    const real *residual, int64_t ldresidual, double p, uint64_t seed, uint64_t step,
    real *y, int64_t ldy
) noexcept nogil:
    cdef int64_t i, first, last
    if rows == 1:
        share((cols + BLOCK - 1) // BLOCK, team, thread, &first, &last)
        first, last = first * BLOCK, min(last * BLOCK, cols)
        drop(last - first, x + first, shifted(residual, first), p, seed, step, first, y + first)
        return
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        drop(
            cols, x + i * ldx, shifted(residual, i * ldresidual), p, seed, step, i * cols,
            y + i * ldy
        )


cdef int dropout_rows(
    int64_t rows, int64_t cols, const real *x, int64_t ldx,
    const real *residual, int64_t ldresidual, double p, uint64_t seed, uint64_t step,
    real *y, int64_t ldy
) noexcept nogil:
    cdef int team
    if (
        rows < 0
        or cols < 0
        or (rows > 0 and cols > 0 and (x is NULL or y is NULL))
        or not is_probability(p)
    ):
        return BAD_ARGUMENT
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        dropout_share(1, 0, rows, cols, x, ldx, residual, ldresidual, p, seed, step, y, ldy)
    else:
        with parallel(num_threads=team):
            dropout_share(
                team_size(), thread_id(), rows, cols, x, ldx, residual, ldresidual, p, seed, step,
                y, ldy
            )
    return OK


cdef int dropout_real(
    int64_t rows, int64_t cols, const real *x, int64_t ldx, const real *residual,
    int64_t ldresidual, double p, uint64_t seed, uint64_t step, real *y, int64_t ldy
) noexcept nogil:
    return dropout_rows(rows, cols, x, ldx, residual, ldresidual, p, seed, step, y, ldy)


cdef int typed(
    int typenum, Rows x, void *px, Rows y, void *py, double p, uint64_t seed, uint64_t step
) noexcept nogil:
    if typenum == cnp.NPY_FLOAT:
        return dropout_real(
            x.rows, x.cols, <float*>px, x.ld, NULL, 0, p, seed, step, <float*>py, y.ld
        )
    if typenum == cnp.NPY_DOUBLE:
        return dropout_real(
            x.rows, x.cols, <double*>px, x.ld, NULL, 0, p, seed, step, <double*>py, y.ld
        )
    return BAD_ARGUMENT


cdef object apply(object x, object p, object seed, object step, object out, str op, str name):
    cdef int typenum = real_type(x, op, name), status
    cdef double dropped = probability(p, op, "p")
    cdef uint64_t key = word(seed, op, "seed"), number = word(step, op, "step")
    cdef Rows rx, ry
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>x, &rx)
    cdef cnp.ndarray y = output_rows(out, <cnp.ndarray>x, op, "out", name, &ry)
    if out is not None:
        check_in_place(<cnp.ndarray>out, <cnp.ndarray>x, op, "out", name)
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *py = cnp.PyArray_DATA(y)
    flatten(&rx, &ry)
    if rx.rows * rx.cols < KEEP_GIL:
        status = typed(typenum, rx, px, ry, py, dropped, key, number)
    else:
        with nogil:
            status = typed(typenum, rx, px, ry, py, dropped, key, number)
    check_status(status, op)
    return finish_output(out, y)


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
    """
    return apply(x, p, seed, step, out, "dropout", "x")


def dropout_backward(dy, p, *, seed, step, out=None):
    """Return the gradient of the input of `dropout`: dropout of dy by the same p, seed and step.

    Parameters, returns and errors are those of `dropout`.
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
        philox_words(count, key, number, start, data)
    return words
