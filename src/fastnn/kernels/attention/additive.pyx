"""Additive scores and their backward pass.

Bahdanau, Cho and Bengio 2014; *Dive into Deep Learning*, section 11.3.

    s_ij = sum_c w_c tanh(q_ic + k_jc)

Queries and keys are already projected to the same size. No array (n_queries, n_keys, size) is
made: backward recomputes each tanh. Backward divides the columns c among the threads, in blocks of
BLOCK; one thread computes a whole sum, so the bits do not depend on the number of threads.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (OK, call_typed, check_contiguous, check_overlap, check_status,
                              real_like, real_type, shaped_output)
from ..ground.dispatch cimport additive_scores as score_row
from ..ground.dispatch cimport additive_scores_backward as score_row_backward
from ..ground.dispatch cimport real
from ..ground.machine cimport machine
from ..ground.threads cimport run_team, share, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 16          # columns of a block: a cache line and an AVX-512 vector of float32


cdef void scores_share(
    int team, int thread, int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n,
    const real *q, const real *k, const real *w, real *s
) noexcept nogil:
    cdef int64_t row, first, last
    share(batch * n_queries, team, thread, &first, &last)
    for row in range(first, last):
        score_row(n_keys, n, q + row * n, k + row // n_queries * n_keys * n, n, w, s + row * n_keys)


cdef void backward_share(
    int team, int thread, int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n,
    const real *ds, const real *q, const real *k, const real *w, real *dq, real *dk, real *dw
) noexcept nogil:
    """Add this thread's columns of dq, dk and dw."""
    cdef int64_t c, row, first, last, keys
    share((n + BLOCK - 1) // BLOCK, team, thread, &first, &last)
    c = first * BLOCK
    last = min(n, last * BLOCK)
    if c >= last:
        return
    for row in range(batch * n_queries):
        keys = row // n_queries * n_keys * n + c
        score_row_backward(n_keys, last - c, ds + row * n_keys, q + row * n + c, k + keys, n, w + c,
                           dq + row * n + c, dk + keys, n, dw + c)


cdef int team_for(
    int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n
) noexcept nogil:
    return threads_for(<double>batch * n_queries * n_keys * n, machine.math_grain / 2)


# The pointer API.

cdef int additive_scores_real(
    int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const real *q, const real *k,
    const real *w, real *s
) noexcept nogil:
    run_team(
        team_for(batch, n_queries, n_keys, n), scores_share[real], batch, n_queries, n_keys, n, q,
        k, w, s
    )
    return OK


cdef int additive_scores_backward_real(
    int64_t batch, int64_t n_queries, int64_t n_keys, int64_t n, const real *ds, const real *q,
    const real *k, const real *w, real *dq, real *dk, real *dw
) noexcept nogil:
    run_team(
        team_for(batch, n_queries, n_keys, n), backward_share[real], batch, n_queries, n_keys, n,
        ds, q, k, w, dq, dk, dw
    )
    return OK


cdef cnp.ndarray plain(object x, int typenum, str op, str name, int ndim, str shape):
    """Return x in C order; it must have q's type and ndim axes."""
    cdef cnp.ndarray y = real_like(x, typenum, op, name, "q")
    if cnp.PyArray_NDIM(y) != ndim:
        raise ValueError(f"{op}: {name} must have the shape {shape}, got {np.shape(y)}")
    return y if cnp.PyArray_IS_C_CONTIGUOUS(y) else cnp.PyArray_NewCopy(y, cnp.NPY_CORDER)


cdef int check_fit(cnp.ndarray q, cnp.ndarray k, cnp.ndarray w, str op) except -1:
    a, b, c = np.shape(q), np.shape(k), np.shape(w)
    if a[0] != b[0] or a[2] != b[2] or c[0] != a[2]:
        raise ValueError(f"{op}: q {a}, k {b} and w {c} must be (batch, n_queries, size), "
                         "(batch, n_keys, size) and (size,)")
    return 0


def additive_scores(q, k, w, *, out=None):
    """Compute the score of every query with every key: ``w tanh(q + k)``.

    Parameters
    ----------
    q : ndarray of float32 or float64, shape (batch, n_queries, size)
    k : ndarray like q, shape (batch, n_keys, size)
    w : ndarray like q, shape (size,)
    out : ndarray of shape (batch, n_queries, n_keys), C-contiguous, optional
        Output array. It must not overlap the operands.

    Returns
    -------
    ndarray of shape (batch, n_queries, n_keys)
        Pass them to `attention` as an additive mask, with queries and keys whose scores are 0, to
        take their softmax.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If shapes do not fit, or out is not C-contiguous, is read-only or overlaps an operand.

    Examples
    --------
    >>> q, k = np.zeros((1, 1, 2), np.float32), np.ones((1, 3, 2), np.float32)
    >>> fastnn.kernels.additive_scores(q, k, np.float32([1, 1])).round(3)
    array([[[1.523, 1.523, 1.523]]], dtype=float32)
    """
    cdef int typenum = real_type(q, "additive_scores", "q")
    cdef cnp.ndarray a = plain(q, typenum, "additive_scores", "q", 3, "(batch, n_queries, size)")
    cdef cnp.ndarray b = plain(k, typenum, "additive_scores", "k", 3, "(batch, n_keys, size)")
    cdef cnp.ndarray c = plain(w, typenum, "additive_scores", "w", 1, "(size,)")
    check_fit(a, b, c, "additive_scores")
    cdef cnp.npy_intp[3] shape = [cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1),
                                  cnp.PyArray_DIM(b, 1)]
    cdef cnp.ndarray s = shaped_output(out, "additive_scores", "out", "q", typenum, 3, shape,
                                       "(batch, n_queries, n_keys)")
    check_contiguous(s, "additive_scores", "out")
    if out is not None:
        for name, x in (("q", a), ("k", b), ("w", c)):
            check_overlap(s, <cnp.ndarray>x, "additive_scores", "out", name)
    check_status(
        call_typed(
            typenum, True, additive_scores_real[float], additive_scores_real[double], shape[0],
            shape[1], shape[2], cnp.PyArray_DIM(a, 2), cnp.PyArray_DATA(a), cnp.PyArray_DATA(b),
            cnp.PyArray_DATA(c), cnp.PyArray_DATA(s)
        ), "additive_scores"
    )
    return s


def additive_scores_backward(dscores, q, k, w):
    """Compute the gradients of the operands of `additive_scores`.

    Parameters
    ----------
    dscores : ndarray of shape (batch, n_queries, n_keys)
        Gradient of the scores. A 0 skips its key, so NaN in masked keys do not spread.
    q, k, w : ndarray
        As passed to `additive_scores`.

    Returns
    -------
    dq, dk, dw : ndarray
        Same shapes as q, k and w.

    Raises
    ------
    TypeError, ValueError
        As `additive_scores`.

    Examples
    --------
    >>> q = k = np.zeros((1, 1, 2), np.float32)
    >>> dscores, w = np.ones((1, 1, 1), np.float32), np.float32([1, 2])
    >>> dq, dk, dw = fastnn.kernels.additive_scores_backward(dscores, q, k, w)
    >>> dq, dw
    (array([[[1., 2.]]], dtype=float32), array([0., 0.], dtype=float32))
    """
    cdef int typenum = real_type(q, "additive_scores_backward", "q")
    cdef cnp.ndarray a = plain(q, typenum, "additive_scores_backward", "q", 3,
                               "(batch, n_queries, size)")
    cdef cnp.ndarray b = plain(k, typenum, "additive_scores_backward", "k", 3,
                               "(batch, n_keys, size)")
    cdef cnp.ndarray c = plain(w, typenum, "additive_scores_backward", "w", 1, "(size,)")
    cdef cnp.ndarray s = plain(dscores, typenum, "additive_scores_backward", "dscores", 3,
                               "(batch, n_queries, n_keys)")
    check_fit(a, b, c, "additive_scores_backward")
    if np.shape(s) != (a.shape[0], a.shape[1], b.shape[1]):
        raise ValueError("additive_scores_backward: dscores must have the shape "
                         f"{(a.shape[0], a.shape[1], b.shape[1])}, got {np.shape(s)}")
    cdef cnp.ndarray dq = np.zeros_like(a), dk = np.zeros_like(b), dw = np.zeros_like(c)
    check_status(
        call_typed(
            typenum, True, additive_scores_backward_real[float],
            additive_scores_backward_real[double], cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1),
            cnp.PyArray_DIM(b, 1), cnp.PyArray_DIM(a, 2), cnp.PyArray_DATA(s), cnp.PyArray_DATA(a),
            cnp.PyArray_DATA(b), cnp.PyArray_DATA(c), cnp.PyArray_DATA(dq), cnp.PyArray_DATA(dk),
            cnp.PyArray_DATA(dw)
        ), "additive_scores_backward"
    )
    return dq, dk, dw
