"""Embedding: look up rows of a table by id, and compute the gradient of the table.

*Dive into Deep Learning*, section 15.1.

    y_i = scale weight[ids_i]           dweight[k] += scale sum over i with ids_i = k of dy_i

Lookup divides the ids among threads. The gradient divides the columns: each thread reads all ids
and adds its own columns. No locks are needed, a frequent id does not unbalance the threads, and
each element is summed in the order of the ids, so the bits do not depend on the number of threads.
repeats.pyx bounds the chains of sums of frequent ids.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (
    BAD_ARGUMENT, NO_MEMORY, OK, Rows, call_typed, check_overlap, check_status, data_of, find_rows,
    finish_output, int64_array, is_output, real_like, real_type, refuse_output, shaped_output,
    with_rows,
)
from ..ground.dispatch cimport first_outside, gather_rows, real, scatter_add_rows
from ..ground.machine cimport machine
from ..ground.memory cimport give, new_array, take
from ..ground.scalars cimport finite_as, is_finite, whole_number
from ..ground.threads cimport run_team, share, share_blocks, threads_for
from .repeats cimport Repeats, add_repeats, close_repeats, open_repeats

cnp.import_array()

cdef enum:
    MOST_AXES = 32
    COLUMNS = 64            # bytes: threads divide columns by cache lines, to avoid false sharing
    KEEP_GIL = 4096         # keep the GIL below this many elements (docs/tuning.md)


cdef void lookup_part(
    int team, int thread, int64_t count, int64_t cols, const int64_t *ids,
    const real *table, int64_t ldtable, real scale, real *y, int64_t ldy
) noexcept nogil:
    cdef int64_t first, last
    share(count, team, thread, &first, &last)
    gather_rows(last - first, cols, ids + first, table, ldtable, scale, y + first * ldy, ldy,
                count * cols * <int64_t>sizeof(real) >= machine.streamed_norms)


cdef int embedding_real(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, const real *table,
    int64_t ldtable, double scale, real *y, int64_t ldy
) noexcept nogil:
    if count < 0 or rows < 0 or cols < 0 or not is_finite(<real>scale):
        return BAD_ARGUMENT
    if count == 0 or cols == 0:
        return OK
    if ids is NULL or table is NULL or y is NULL or first_outside(count, ids, rows) < count:
        return BAD_ARGUMENT
    run_team(
        threads_for(<double>count * cols, machine.pass_grain), lookup_part[real], count, cols, ids,
        table, ldtable, <real>scale, y, ldy
    )
    return OK


cdef void backward_part(
    int team, int thread, int64_t count, int64_t cols, const int64_t *ids, int64_t skipped,
    const real *dy, int64_t lddy, real scale, real *dtable, int64_t lddtable,
    const Repeats *repeats, real *sums
) noexcept nogil:
    cdef int64_t first, last
    share_blocks(cols, COLUMNS // <int64_t>sizeof(real), team, thread, &first, &last)
    if first < last and repeats.size == 0:
        scatter_add_rows(count, last - first, ids, skipped, dy + first, lddy, scale, dtable + first,
                         lddtable)
    elif first < last:
        add_repeats(repeats, thread, count, last - first, ids, skipped, dy + first, lddy, scale,
                    dtable + first, lddtable, sums + first, cols)


cdef int embedding_backward_real(
    int64_t count, int64_t rows, int64_t cols, const int64_t *ids, int64_t skipped, const real *dy,
    int64_t lddy, double scale, real *dtable, int64_t lddtable
) noexcept nogil:
    cdef int team
    cdef Repeats repeats
    cdef real *sums = NULL
    if count < 0 or rows < 0 or cols < 0 or not is_finite(<real>scale):
        return BAD_ARGUMENT
    if count == 0 or cols == 0:
        return OK
    if ids is NULL or dy is NULL or dtable is NULL or first_outside(count, ids, rows) < count:
        return BAD_ARGUMENT
    team = threads_for(<double>count * cols, machine.pass_grain)
    if not open_repeats(count, rows, ids, skipped, team, &repeats):
        return NO_MEMORY
    if repeats.size > 0:
        sums = <real*>take(repeats.sums * cols * <int64_t>sizeof(real))
        if sums is NULL:
            close_repeats(&repeats)
            return NO_MEMORY
    run_team(
        team, backward_part[real], count, cols, ids, skipped, dy, lddy, <real>scale, dtable,
        lddtable, &repeats, sums
    )
    give(sums)
    close_repeats(&repeats)
    return OK


cdef cnp.ndarray checked_ids(object ids, int64_t rows, str op, str table):
    """Return ids as contiguous int64; IndexError names the first that is not a row of the table."""
    cdef cnp.ndarray plain = int64_array(ids, op, "ids")
    if cnp.PyArray_NDIM(plain) >= MOST_AXES:
        raise ValueError(f"{op}: ids has {MOST_AXES} or more axes")
    cdef int64_t count = cnp.PyArray_SIZE(plain)
    cdef int64_t at = first_outside(count, <int64_t*>cnp.PyArray_DATA(plain), rows)
    if at < count:
        shape = np.shape(ids)
        where = tuple(map(int, np.unravel_index(at, shape))) if len(shape) > 1 else at
        raise IndexError(f"{op}: ids[{where}] is {ids.flat[at]}, which is no row of {table} with "
                         f"{rows} rows")
    return plain


cdef int check_table(cnp.ndarray table, str op, str name) except -1:
    if cnp.PyArray_NDIM(table) != 2:
        raise ValueError(f"{op}: {name} must have two axes (rows, d), got {np.shape(table)}")
    return 0


def embedding(ids, weight, *, scale=1.0, out=None):
    """Look up rows of weight by id, times scale.

    Parameters
    ----------
    ids : ndarray of integers, any shape
        Each from 0 to rows - 1.
    weight : ndarray of float32 or float64, shape (rows, d), any strides
    scale : float
        Factor of the result, such as sqrt(d) in *Dive into Deep Learning*, section 11.7.4.
    out : ndarray, shape (..., d), optional
        Output array with the type of weight. It must not overlap weight.

    Returns
    -------
    ndarray, shape (..., d)
        ``out`` if given.

    Raises
    ------
    TypeError
        If an argument has another type.
    ValueError
        If shapes do not fit, or out is read-only or overlaps weight.
    IndexError
        If an id is out of range; the message says which. Nothing is written then.

    Examples
    --------
    >>> weight = np.float32([[0, 0], [1, 2], [3, 4]])
    >>> fastnn.embedding(np.array([2, 0, 2]), weight)
    array([[3., 4.],
           [0., 0.],
           [3., 4.]], dtype=float32)
    """
    cdef int typenum = real_type(weight, "embedding", "weight"), i
    cdef cnp.npy_intp shape[MOST_AXES]
    cdef double factor = finite_as(scale, typenum == cnp.NPY_FLOAT, "embedding", "scale")
    cdef cnp.ndarray whole = <cnp.ndarray>weight, y
    check_table(whole, "embedding", "weight")
    cdef cnp.ndarray plain = checked_ids(ids, cnp.PyArray_DIM(whole, 0), "embedding", "weight")
    cdef int ndim = cnp.PyArray_NDIM(<cnp.ndarray>ids)
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(<cnp.ndarray>ids, i)
    shape[ndim] = cnp.PyArray_DIM(whole, 1)
    if out is not None:
        shaped_output(out, "embedding", "out", "weight", typenum, ndim + 1, shape,
                      "of ids and a row of weight")
        check_overlap(<cnp.ndarray>out, whole, "embedding", "out", "weight")
    cdef Rows rtable, ry
    cdef cnp.ndarray table = with_rows(whole, &rtable)
    y = (<cnp.ndarray>out if out is not None and find_rows(<cnp.ndarray>out, &ry)
         else new_array(ndim + 1, shape, typenum))
    find_rows(y, &ry)
    cdef int64_t count = cnp.PyArray_SIZE(plain), rows = cnp.PyArray_DIM(whole, 0)
    cdef int64_t cols = shape[ndim]
    check_status(
        call_typed(
            typenum, count * cols >= KEEP_GIL, embedding_real[float], embedding_real[double],
            count, rows, cols, <const int64_t*>data_of(plain), data_of(table), rtable.ld, factor,
            data_of(y), ry.ld
        ), "embedding"
    )
    return finish_output(out, y)


def embedding_backward(ids, dy, *, dweight, scale=1.0, padding_idx=None):
    """Add the gradient of the weight of `embedding` to dweight.

    Parameters
    ----------
    ids : ndarray of integers, any shape
    dy : ndarray of float32 or float64, shape (..., d), any strides
        Gradient of the output.
    dweight : ndarray, shape (rows, d)
        Added to; rows without an id are not touched. Each row is summed in the order of ids, in
        parts of 1,024 occurrences, so the bits do not depend on the number of threads.
    scale : float
        As passed to `embedding`.
    padding_idx : int, optional
        Id whose row gets no gradient, from 0 to rows - 1.

    Raises
    ------
    TypeError
        If an argument has another type.
    ValueError
        If shapes do not fit, dweight's rows are not contiguous, or it is read-only or overlaps dy.
    IndexError
        If an id is out of range; the message says which. Nothing is changed then.

    Examples
    --------
    >>> dweight = np.zeros((3, 2), np.float32)
    >>> fastnn.embedding_backward(np.array([2, 0, 2]), np.ones((3, 2), np.float32), dweight=dweight)
    >>> dweight
    array([[1., 1.],
           [0., 0.],
           [2., 2.]], dtype=float32)
    """
    cdef int typenum = real_type(dy, "embedding_backward", "dy")
    cdef str op = "embedding_backward"
    cdef double factor = finite_as(scale, typenum == cnp.NPY_FLOAT, op, "scale")
    cdef cnp.ndarray table = real_like(dweight, typenum, "embedding_backward", "dweight", "dy")
    check_table(table, "embedding_backward", "dweight")
    cdef cnp.ndarray plain = checked_ids(ids, cnp.PyArray_DIM(table, 0), "embedding_backward",
                                         "dweight")
    cdef int64_t count = cnp.PyArray_SIZE(plain), rows = cnp.PyArray_DIM(table, 0)
    cdef int64_t cols = cnp.PyArray_DIM(table, 1)
    cdef int64_t skipped = -1
    if padding_idx is not None:
        if rows == 0:
            raise ValueError(f"{op}: padding_idx must be None, since dweight has no rows")
        skipped = whole_number(padding_idx, 0, rows - 1, op, "padding_idx")
    cdef Rows rtable, rdy
    if np.shape(dy) != np.shape(ids) + (np.shape(table)[1],):
        raise ValueError("embedding_backward: dy must have the shape "
                         f"{np.shape(ids) + (np.shape(table)[1],)} of ids and a row of dweight, "
                         f"got {np.shape(dy)}")
    if not is_output(table):
        refuse_output(table, "embedding_backward", "dweight")
    if not find_rows(table, &rtable):
        raise ValueError("embedding_backward: the rows of dweight must be contiguous")
    check_overlap(table, <cnp.ndarray>dy, "embedding_backward", "dweight", "dy")
    cdef cnp.ndarray a = with_rows(<cnp.ndarray>dy, &rdy)
    check_status(
        call_typed(
            typenum, True, embedding_backward_real[float], embedding_backward_real[double], count,
            rows, cols, <const int64_t*>data_of(plain), skipped, data_of(a), rdy.ld, factor,
            data_of(table), rtable.ld
        ), op
    )
