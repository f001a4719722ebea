"""Losses, each returned together with its gradient from one pass over the data.

    cross entropy   L = mean_i -log softmax(o_i)[t_i]     dL/do_i = (softmax(o_i) - onehot(t_i)) / N      (*Dive into Deep Learning*, section 4.1.2)
    squared error   L = mean (p - t)^2                    dL/dp   = 2 (p - t) / n

Losses are summed in double from terms of fixed blocks in a fixed order, so the bits do not depend on the number of threads.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.stdint cimport int64_t

import numpy as np

from .arrays cimport (BAD_ARGUMENT, NO_MEMORY, OK, Rows, check_in_place, check_overlap, check_status, finish_output, output_rows, real_type,
                      shaped_like, with_rows)
from .dispatch cimport cross_entropy_row, mse_run, real
from .memory cimport give, take
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 4096        # elements of the squared error summed by themselves
    GRAIN = 8192        # elements a thread should have, as for softmax
    MSE_GRAIN = 32768   # elements a thread should have, as for other elementwise work


cdef double sum_in_order(int64_t n, const double *x) noexcept nogil:
    cdef double s = 0
    cdef int64_t i
    for i in range(n):
        s += x[i]
    return s


cdef void cross_entropy_share(int team, int thread, int64_t rows, int64_t cols, const real *logits, int64_t ldlogits,
                              const int64_t *targets, real *dlogits, int64_t lddlogits, double *losses) noexcept nogil:
    cdef int64_t i, first, last
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        losses[i] = cross_entropy_row(cols, logits + i * ldlogits, targets[i], 1.0 / rows, dlogits + i * lddlogits)


cdef int cross_entropy_rows(int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *targets, real *dlogits,
                            int64_t lddlogits, double *loss) noexcept nogil:
    cdef int team
    cdef int64_t i
    cdef double *losses
    if rows <= 0 or cols <= 0 or logits is NULL or targets is NULL or dlogits is NULL:
        return BAD_ARGUMENT
    for i in range(rows):
        if targets[i] < 0 or targets[i] >= cols:
            return BAD_ARGUMENT
    losses = <double*>take(rows * <int64_t>sizeof(double))
    if losses is NULL:
        return NO_MEMORY
    team = threads_for(<double>rows * cols, GRAIN)
    if team == 1:
        cross_entropy_share(1, 0, rows, cols, logits, ldlogits, targets, dlogits, lddlogits, losses)
    else:
        with parallel(num_threads=team):
            cross_entropy_share(team_size(), thread_id(), rows, cols, logits, ldlogits, targets, dlogits, lddlogits, losses)
    loss[0] = sum_in_order(rows, losses) / rows
    give(losses)
    return OK


cdef void mse_share(int team, int thread, int64_t n, const real *pred, const real *target, real *dpred, double *sums) noexcept nogil:
    cdef int64_t i, first, last
    share((n + BLOCK - 1) // BLOCK, team, thread, &first, &last)
    for i in range(first, last):
        sums[i] = mse_run(min(<int64_t>BLOCK, n - i * BLOCK), pred + i * BLOCK, target + i * BLOCK, 2.0 / n, dpred + i * BLOCK)


cdef int mse_flat(int64_t n, const real *pred, const real *target, real *dpred, double *loss) noexcept nogil:
    cdef int team
    cdef int64_t blocks = (n + BLOCK - 1) // BLOCK
    cdef double *sums
    if n <= 0 or pred is NULL or target is NULL or dpred is NULL:
        return BAD_ARGUMENT
    sums = <double*>take(blocks * <int64_t>sizeof(double))
    if sums is NULL:
        return NO_MEMORY
    team = threads_for(n, MSE_GRAIN)
    if team == 1:
        mse_share(1, 0, n, pred, target, dpred, sums)
    else:
        with parallel(num_threads=team):
            mse_share(team_size(), thread_id(), n, pred, target, dpred, sums)
    loss[0] = sum_in_order(blocks, sums) / n
    give(sums)
    return OK


cdef int cross_entropy_f32(int64_t rows, int64_t cols, const float *logits, int64_t ldlogits, const int64_t *targets,
                           float *dlogits, int64_t lddlogits, double *loss) noexcept nogil:
    return cross_entropy_rows(rows, cols, logits, ldlogits, targets, dlogits, lddlogits, loss)


cdef int cross_entropy_f64(int64_t rows, int64_t cols, const double *logits, int64_t ldlogits, const int64_t *targets,
                           double *dlogits, int64_t lddlogits, double *loss) noexcept nogil:
    return cross_entropy_rows(rows, cols, logits, ldlogits, targets, dlogits, lddlogits, loss)


cdef int mse_f32(int64_t n, const float *pred, const float *target, float *dpred, double *loss) noexcept nogil:
    return mse_flat(n, pred, target, dpred, loss)


cdef int mse_f64(int64_t n, const double *pred, const double *target, double *dpred, double *loss) noexcept nogil:
    return mse_flat(n, pred, target, dpred, loss)


cdef cnp.ndarray checked_targets(object targets, cnp.ndarray logits):
    """The labels as contiguous int64, each a column of logits."""
    if not cnp.PyArray_Check(targets) or targets.dtype.kind not in "iu":
        kind = f"an array of {targets.dtype}" if cnp.PyArray_Check(targets) else type(targets).__name__
        raise TypeError(f"cross_entropy: targets must be a NumPy array of integers, not {kind}")
    if logits.ndim != 2 or targets.ndim != 1 or np.shape(targets)[0] != np.shape(logits)[0]:
        raise ValueError(f"cross_entropy: logits must be (N, C) and targets (N,), not {np.shape(logits)} and {np.shape(targets)}")
    if logits.size == 0:
        raise ValueError(f"cross_entropy: the mean over no examples or classes is undefined (logits {np.shape(logits)})")
    wrong = (targets < 0) | (targets >= np.shape(logits)[1])
    if wrong.any():
        row = int(wrong.argmax())
        raise IndexError(f"cross_entropy: target {targets[row]} of row {row} is not one of {np.shape(logits)[1]} classes")
    return np.ascontiguousarray(targets, dtype=np.int64)


def cross_entropy(logits, targets, *, dlogits=None):
    """Mean cross entropy of softmax(logits) with integer labels, and its gradient.

    Parameters
    ----------
    logits : ndarray of float32 or float64, shape (N, C), any strides
    targets : ndarray of integers, shape (N,)
        Labels from 0 to C - 1.
    dlogits : ndarray, optional
        Where to write the gradient; the type and shape of logits; may be logits itself, but must not overlap it otherwise.

    Returns
    -------
    loss : float
        In nats. NaN or inf if a row of logits has NaN or +inf.
    dlogits : ndarray, shape (N, C)
        Gradient of the loss with respect to logits.

    Raises
    ------
    TypeError
        If logits is not an array of float32 or float64, or targets not one of integers.
    ValueError
        If shapes do not fit, N or C is 0, or dlogits is read-only or overlaps.
    IndexError
        If a label is out of range; the message names its row. Nothing has been written then.
    """
    cdef int typenum = real_type(logits, "cross_entropy", "logits"), status
    cdef Rows rx, rd
    cdef cnp.ndarray labels = checked_targets(targets, <cnp.ndarray>logits)
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>logits, &rx)
    cdef cnp.ndarray d = output_rows(dlogits, <cnp.ndarray>logits, "cross_entropy", "dlogits", "logits", &rd)
    if dlogits is not None:
        check_in_place(<cnp.ndarray>dlogits, <cnp.ndarray>logits, "cross_entropy", "dlogits", "logits")
        check_overlap(<cnp.ndarray>dlogits, labels, "cross_entropy", "dlogits", "targets")
    cdef void *px = cnp.PyArray_DATA(a)
    cdef void *pd = cnp.PyArray_DATA(d)
    cdef const int64_t *pt = <const int64_t*>cnp.PyArray_DATA(labels)
    cdef double loss = 0
    with nogil:
        if typenum == cnp.NPY_FLOAT:
            status = cross_entropy_rows(rx.rows, rx.cols, <float*>px, rx.ld, pt, <float*>pd, rd.ld, &loss)
        else:
            status = cross_entropy_rows(rx.rows, rx.cols, <double*>px, rx.ld, pt, <double*>pd, rd.ld, &loss)
    check_status(status, "cross_entropy")
    return loss, finish_output(dlogits, d)


def mse(pred, target, *, dpred=None):
    """Mean squared error over all elements, and its gradient.

    Parameters
    ----------
    pred, target : ndarray of float32 or float64, one type and shape, any strides
    dpred : ndarray, optional
        Where to write the gradient; the type and shape of pred; may be pred or target itself, but must not overlap them otherwise.

    Returns
    -------
    loss : float
    dpred : ndarray
        Gradient of the loss with respect to pred.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If shapes differ, there are no elements, or dpred is read-only or overlaps.
    """
    cdef int typenum = real_type(pred, "mse", "pred"), status
    cdef Rows rd
    cdef cnp.ndarray like = shaped_like(target, <cnp.ndarray>pred, "mse", "target", "pred")
    cdef cnp.ndarray a = cnp.PyArray_GETCONTIGUOUS(<cnp.ndarray>pred), b = cnp.PyArray_GETCONTIGUOUS(like)
    cdef cnp.ndarray d
    cdef int64_t n = cnp.PyArray_SIZE(a)
    if n == 0:
        raise ValueError(f"mse: the mean over no elements is undefined (shape {np.shape(pred)})")
    if dpred is not None:
        d = output_rows(dpred, <cnp.ndarray>pred, "mse", "dpred", "pred", &rd)
        check_in_place(<cnp.ndarray>dpred, <cnp.ndarray>pred, "mse", "dpred", "pred")
        check_in_place(<cnp.ndarray>dpred, like, "mse", "dpred", "target")
    if dpred is None or not cnp.PyArray_IS_C_CONTIGUOUS(d):
        d = output_rows(None, a, "mse", "dpred", "pred", &rd)
    cdef void *pa = cnp.PyArray_DATA(a)
    cdef void *pb = cnp.PyArray_DATA(b)
    cdef void *pd = cnp.PyArray_DATA(d)
    cdef double loss = 0
    with nogil:
        if typenum == cnp.NPY_FLOAT:
            status = mse_flat(n, <float*>pa, <float*>pb, <float*>pd, &loss)
        else:
            status = mse_flat(n, <double*>pa, <double*>pb, <double*>pd, &loss)
    check_status(status, "mse")
    return loss, finish_output(dpred, d)
