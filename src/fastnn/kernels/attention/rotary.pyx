"""Rotary position embedding (Su et al., "RoFormer", 2021; arXiv:2104.09864).

    (y_i, y_(i+d/2)) = R(p w_i) (x_i, x_(i+d/2))        w_i = base^(-2i/d), i = 0..d/2-1

R(t) rotates by the angle t; p is the position of the vector. A pair is element i of the first half
and element i of the second, as in GPT-NeoX and Llama; the paper pairs neighbors, which is the same
up to the order of the columns. Dot products of rotated queries and keys depend on the distance of
their positions alone. Backward rotates by the negative angle.

Accuracy: angles, sines and cosines are computed in double and rounded once, so a result is good to
2 ulp of the pair's length at any position (1e-11 in float64, where the angle's own rounding shows).
"""
cimport numpy as cnp
from libc.math cimport cos, pow, sin
from libc.stdint cimport int64_t

import numpy as np

from ..ground.arrays cimport (BAD_ARGUMENT, OK, call_typed, check_in_place, check_status, data_of,
                              int64_array, output_like, real_like, real_type, stride)
from ..ground.dispatch cimport real, rotary_rows
from ..ground.machine cimport machine
from ..ground.memory cimport new_array
from ..ground.scalars cimport (finite_number, flag, is_positive, positive_number, refuse_value,
                               whole_number)
from ..ground.threads cimport run_team, share, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 64              # positions of a head that a thread takes at a time
    KEEP_GIL = 8192         # keep the GIL below this many elements (docs/tuning.md)
    KEPT = 1 << 17          # most positions of a cached table; beyond, each call computes its own
    FIRST_TABLE = 256       # fewest positions of a cached table

cdef int64_t FURTHEST = 1 << 53     # positions from here on are not exact in double


cdef int fill_table(
    int64_t first, int64_t n, int64_t half, double base, const double *rates, double factor,
    real *table
) noexcept nogil:
    """Write cosines and sines for positions first..first+n-1, times factor, to table (n, 2 half).

    rates are the angles from one position to the next; NULL: powers of base.
    """
    cdef int64_t p, i
    cdef double angle, rate
    for i in range(half):
        rate = pow(base, -<double>i / half) if rates is NULL else rates[i]
        for p in range(n):
            angle = (first + p) * rate
            table[2 * half * p + i] = <real>(factor * cos(angle))
            table[2 * half * p + half + i] = <real>(factor * sin(angle))
    return OK


cdef void rotary_share(
    int team, int thread, const int64_t *sizes, const real *x, const int64_t *xs, const real *table,
    const int64_t *starts, int64_t starts_stride, int inverse, real *y, const int64_t *ys
) noexcept nogil:
    """Rotate this thread's blocks of positions."""
    cdef int64_t heads = sizes[1], n = sizes[2], d = sizes[3], blocks = (n + BLOCK - 1) // BLOCK
    cdef int64_t item, first, last, b, h, t
    share(sizes[0] * heads * blocks, team, thread, &first, &last)
    for item in range(first, last):
        b, h, t = item // blocks // heads, item // blocks % heads, item % blocks * BLOCK
        rotary_rows(min(<int64_t>BLOCK, n - t), d // 2, x + b * xs[0] + h * xs[1] + t * xs[2],
                    xs[2], table + ((0 if starts is NULL else starts[b * starts_stride]) + t) * d,
                    inverse, y + b * ys[0] + h * ys[1] + t * ys[2], ys[2])


# The pointer API.

cdef int rotary_real(
    const int64_t *sizes, const real *x, const int64_t *xs, const real *table, int64_t positions,
    const int64_t *starts, int64_t starts_stride, int inverse, real *y, const int64_t *ys
) noexcept nogil:
    """Check the arguments and rotate x into y (batch, heads, n, d)."""
    cdef int64_t i, start
    if sizes is NULL or xs is NULL or ys is NULL:
        return BAD_ARGUMENT
    for i in range(4):
        if sizes[i] < 0:
            return BAD_ARGUMENT
    if sizes[3] % 2 or positions < 0:
        return BAD_ARGUMENT
    if sizes[0] == 0 or sizes[1] == 0 or sizes[2] == 0 or sizes[3] == 0:
        return OK
    if x is NULL or y is NULL or table is NULL:
        return BAD_ARGUMENT
    for i in range(sizes[0]):
        start = 0 if starts is NULL else starts[i * starts_stride]
        if start < 0 or start > positions - sizes[2]:
            return BAD_ARGUMENT
    run_team(
        threads_for(<double>sizes[0] * sizes[1] * sizes[2] * sizes[3], machine.pass_grain / 2),
        rotary_share[real], sizes, x, xs, table, starts, starts_stride, inverse, y, ys
    )
    return OK


cdef bint bad_table(int64_t positions, int64_t d, double base, const void *table) noexcept nogil:
    """True if the arguments of rotary_table are not valid."""
    if positions < 0 or d < 0 or d % 2 or not is_positive(base):
        return True
    return table is NULL and positions > 0 and d > 0


cdef int rotary_table_real(int64_t positions, int64_t d, double base, real *table) noexcept nogil:
    if bad_table(positions, d, base, table):
        return BAD_ARGUMENT
    return fill_table(0, positions, d // 2, base, NULL, 1, table)


_tables = {}        # (type number, size, base, rates, factor) -> the longest table so far


cdef cnp.ndarray new_table(
    int typenum, int64_t first, int64_t n, int64_t d, double base, cnp.ndarray rates, double factor
):
    """Return a new table (n, d) for the positions from `first` on."""
    cdef cnp.npy_intp[2] shape = [n, d]
    cdef cnp.ndarray table = new_array(2, shape, typenum)
    call_typed(typenum, True, fill_table[float], fill_table[double], first, n, d // 2, base,
               data_of(rates), factor, cnp.PyArray_DATA(table))
    return table


cdef cnp.ndarray table_for(
    int typenum, int64_t first, int64_t end, int64_t d, double base, cnp.ndarray rates,
    double factor, int64_t *begins
):
    """Return a table that holds the positions first..end-1; it begins with position begins[0]."""
    cdef cnp.ndarray table
    begins[0] = 0
    if end > KEPT:
        begins[0] = first
        return new_table(typenum, first, end - first, d, base, rates, factor)
    key = (typenum, d, base, None if rates is None else rates.tobytes(), factor)
    table = _tables.get(key)
    if table is None or cnp.PyArray_DIM(table, 0) < end:
        table = new_table(typenum, 0, max(<int64_t>FIRST_TABLE, 1 << (end - 1).bit_length()), d,
                          base, rates, factor)
        _tables[key] = table
    return table


cdef cnp.ndarray checked_starts(object start, int64_t batch, int64_t *low, int64_t *high):
    """Return start as contiguous int64 (batch,), or None if it is a single int.

    low and high are the smallest and the largest position in it.
    """
    cdef cnp.ndarray starts = None
    cdef const int64_t *of
    cdef int64_t i
    if isinstance(start, np.ndarray):
        starts = int64_array(start, "rotary", "start")
        if np.shape(starts) != (batch,):
            raise ValueError(f"rotary: start must be an int or have the shape ({batch},) of the "
                             f"batch of x, got {np.shape(starts)}")
        of = <const int64_t*>cnp.PyArray_DATA(starts)
        low[0] = high[0] = of[0] if batch else 0
        for i in range(1, batch):
            low[0], high[0] = min(low[0], of[i]), max(high[0], of[i])
    else:
        low[0] = high[0] = whole_number(start, 0, FURTHEST - 1, "rotary", "start")
    if low[0] < 0 or high[0] >= FURTHEST:
        refuse_value(np.min(start) if low[0] < 0 else np.max(start), "from 0 to 2**53 - 1",
                     "rotary", "start")
    return starts


cdef bint made_of_rows(cnp.ndarray x) noexcept:
    """True if the last axis is contiguous."""
    return cnp.PyArray_DIM(x, 3) <= 1 or stride(x, 3) == 1


cdef cnp.ndarray checked_rates(object rates, int64_t d):
    """Return rates as contiguous float64, or None; raise an error if they do not fit D = d."""
    cdef cnp.ndarray found
    if rates is None:
        return None
    found = real_like(rates, cnp.NPY_DOUBLE, "rotary", "rates", "angles, which are float64")
    if cnp.PyArray_NDIM(found) != 1 or not 0 < 2 * cnp.PyArray_DIM(found, 0) <= d:
        raise ValueError(f"rotary: rates must have the shape (n,) with n from 1 to {d // 2}, half "
                         f"the size of x, got {np.shape(found)}")
    return cnp.PyArray_GETCONTIGUOUS(found)


def rotary(x, *, start=0, base=10000.0, inverse=False, out=None, rates=None, factor=1.0):
    """Rotate vectors by their positions: rotary position embedding.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (B, H, T, D), D even, any strides
        Queries or keys; views of a fused projection are not copied. Element i is paired with
        element i + D/2.
    start : int, or ndarray of integers (B,)
        Position of the first vector, for all rows of the batch or for each row.
    base : float
        Above 0. From one position to the next, pair i rotates by base^(-2i/D).
    inverse : bool
        Rotate back. The gradient of x is ``rotary(dy, ..., inverse=True)``.
    out : ndarray, optional
        Output array with the type and shape of x. It may be x itself, but must not overlap x
        otherwise.
    rates : ndarray of float64 (n,), optional
        Angle by which each pair rotates from one position to the next, instead of that of `base`.
        With n < D/2 only the first 2n elements of a vector rotate, in pairs i and i + n.
    factor : float
        Multiplies what rotates (the attention factor of YaRN).

    Returns
    -------
    ndarray
        ``out`` if given. NaN and Inf affect only their own pair.

    Raises
    ------
    TypeError
        If x or out is not an array of float32 or float64, the types differ, or start is not an
        integer.
    ValueError
        If x is not 4-D with an even last axis, start is negative or has another shape, base is not
        above 0, or out has another shape, is read-only or overlaps x.

    Notes
    -----
    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021; pairs as in
    GPT-NeoX and Llama. Tables of cosines and sines of up to 131,072 positions are cached.

    Examples
    --------
    >>> x = np.tile(np.float32([1, 0]), (1, 1, 2, 1))  # 1 batch, 1 head, 2 positions of size 2
    >>> fastnn.rotary(x)[0, 0].round(3)  # the first is rotated by 0, the second by 1
    array([[1.   , 0.   ],
           [0.54 , 0.841]], dtype=float32)
    """
    cdef int typenum = real_type(x, "rotary", "x"), i
    cdef bint turn_back = flag(inverse, "rotary", "inverse")
    cdef cnp.ndarray a = <cnp.ndarray>x, y, starts, table
    cdef int64_t[4] sizes
    cdef int64_t[3] xs
    cdef int64_t[3] ys
    cdef int64_t begins = 0, low, high, step
    cdef double times = finite_number(factor, "rotary", "factor")
    cdef cnp.ndarray angles
    if cnp.PyArray_NDIM(a) != 4 or cnp.PyArray_DIM(a, 3) % 2:
        raise ValueError("rotary: x must be (batch, heads, positions, size) with an even size, "
                         f"got {np.shape(a)}")
    base = positive_number(base, "rotary", "base")
    for i in range(4):
        sizes[i] = cnp.PyArray_DIM(a, i)
    starts = checked_starts(start, sizes[0], &low, &high)
    if out is None:
        y = new_array(4, cnp.PyArray_DIMS(a), typenum)
    else:
        y = output_like(out, a, "rotary", "out", "x")
        check_in_place(y, a, "rotary", "out", "x")
    angles = checked_rates(rates, sizes[3])
    if cnp.PyArray_SIZE(a) == 0:
        return y
    if not made_of_rows(a) or not made_of_rows(y):
        y[...] = rotary(np.ascontiguousarray(a), start=start, base=base, inverse=inverse,
                        rates=rates, factor=factor)
        return y
    if angles is not None and 2 * cnp.PyArray_DIM(angles, 0) < sizes[3]:
        sizes[3] = 2 * cnp.PyArray_DIM(angles, 0)
        if y is not a:
            y[..., sizes[3]:] = a[..., sizes[3]:]
    table = table_for(typenum, low, high + sizes[2], sizes[3], base, angles, times, &begins)
    low -= begins
    if begins and starts is not None:
        starts = starts - begins
    for i in range(3):
        xs[i], ys[i] = stride(a, i), stride(y, i)
    cdef int64_t *ps = &low if starts is None else <int64_t*>cnp.PyArray_DATA(starts)
    cdef int64_t positions = cnp.PyArray_DIM(table, 0)
    step = 0 if starts is None else 1
    check_status(
        call_typed(
            typenum, cnp.PyArray_SIZE(a) >= KEEP_GIL, rotary_real[float], rotary_real[double],
            sizes, cnp.PyArray_DATA(a), xs, cnp.PyArray_DATA(table), positions, ps, step, turn_back,
            cnp.PyArray_DATA(y), ys
        ), "rotary"
    )
    return y
