"""Frobenius norm: sqrt(sum x_i^2) over all elements (*Dive into Deep Learning*, section 2.3.11), of one array or of several taken together.

float32 is squared and summed in double, where nothing can overflow or underflow. float64 is summed to about twice its precision (simd/reduce.h); where
the plain sum left the safe range it is taken again over x / 2^e, e the exponent of max |x_i|.
An array of any strides is walked as planes of rows; a unit is a block of rows or a part of one, and consecutive units make a chunk, at most CHUNKS
of them. Chunks are summed by themselves and combined in order, and the layout alone says what is in one, so the bits do not depend on the number of
threads.
Accuracy: float32 to a relative 2^-41 at any size (a unit is at most 2,048 additions a lane, its half counts), so rounding the result to float32
is right but for a few ties in a million; float64 within 1 ulp (the sum to 2^-57, then one Newton step).
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport fma, frexp, isfinite, isnan, ldexp, sqrt
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK, real_like, real_type
from ..ground.dispatch cimport max_abs_block, real, sum_squares_block
from ..ground.threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    UNIT = 16384        # elements at most; reduce.h relies on it, and on at most 512 rows
    GATHERED = 2048     # elements at most where they do not lie side by side and are collected first
    SHORT_ROW = 32      # elements that the end of a row costs as much as
    CHUNKS = 256        # sums that are combined at the end
    GRAIN = 65536       # elements a thread should have. 131,072: 8.0 us by one thread, 4.7 by two
    KEEP_GIL = 8192     # elements, 0.6 us, below which the GIL is kept: letting go costs 15 ns, and a wait where another thread takes it
    MOST_AXES = 64      # of an ndarray

cdef double SAFE_LOW = 1e-270      # a sum of squares in here has lost nothing that counts to underflow, and nothing overflowed
cdef double SAFE_HIGH = 1e300


cdef struct Planes:
    # rows x cols elements, `ld` and `inc` elements apart, and so again for each index of the outer axes.
    int64_t rows, cols, ld, inc, planes
    int64_t unit_rows, unit_cols, units     # how each plane is cut, and units of all planes
    int outer
    int64_t shape[MOST_AXES]
    int64_t strides[MOST_AXES]


cdef struct Total:
    # The sum of squares is (hi + lo) 2^(2 exponent).
    double hi, lo
    int exponent


cdef void cut(Planes *v) noexcept nogil:
    """Choose the units."""
    cdef int64_t most = UNIT if v.inc == 1 else GATHERED
    v.unit_cols = min(v.cols, most)
    v.unit_rows = 1 if v.cols > most else max(<int64_t>1, most // (v.cols + SHORT_ROW))
    if v.planes * v.rows * v.cols == 0:
        v.units = 0
    else:
        v.units = v.planes * (
            (v.rows + v.unit_rows - 1) // v.unit_rows
        ) * ((v.cols + v.unit_cols - 1) // v.unit_cols)


cdef void one_row(int64_t n, Planes *v) noexcept nogil:
    v.rows, v.cols, v.ld, v.inc, v.planes, v.outer = 1, n, n, 1, 1, 0
    cut(v)


cdef char *describe(cnp.ndarray x, Planes *v) noexcept:
    """Walk x in the order of memory: axes by falling stride, none of them negative, and those merged that make one run. Returns where it starts."""
    cdef char *data = <char*>cnp.PyArray_DATA(x)
    cdef int64_t size = cnp.PyArray_ITEMSIZE(x), step, n
    cdef int axis, i, last = -1
    if cnp.PyArray_IS_C_CONTIGUOUS(x) or cnp.PyArray_IS_F_CONTIGUOUS(x):
        one_row(cnp.PyArray_SIZE(x), v)
        return data
    for axis in range(cnp.PyArray_NDIM(x)):
        n, step = cnp.PyArray_DIM(x, axis), cnp.PyArray_STRIDE(x, axis) // size
        if n == 1:
            continue
        if step < 0:
            data += (n - 1) * step * size
            step = -step
        last += 1
        i = last
        while i > 0 and v.strides[i - 1] < step:
            v.shape[i], v.strides[i] = v.shape[i - 1], v.strides[i - 1]
            i -= 1
        v.shape[i], v.strides[i] = n, step
    axis = 0
    for i in range(1, last + 1):
        if v.strides[axis] == v.strides[i] * v.shape[i]:
            v.shape[axis] *= v.shape[i]
        else:
            axis += 1
            v.shape[axis] = v.shape[i]
        v.strides[axis] = v.strides[i]
    v.cols, v.inc = v.shape[axis], v.strides[axis]
    v.rows, v.ld = 1, v.cols
    if axis > 0:
        v.rows, v.ld = v.shape[axis - 1], v.strides[axis - 1]
    v.outer, v.planes = max(axis - 1, 0), 1
    for i in range(v.outer):
        v.planes *= v.shape[i]
    cut(v)
    return data


cdef const real *unit(
    const real *x, const Planes *v, int64_t u, real *gathered, int64_t *m, int64_t *n, int64_t *ld
) noexcept nogil:
    """Unit u as m rows of n contiguous elements, where they are or collected."""
    cdef int64_t column_parts = (
        v.cols + v.unit_cols - 1
    ) // v.unit_cols, row_parts = (v.rows + v.unit_rows - 1) // v.unit_rows
    cdef int64_t column = u % column_parts * v.unit_cols, row = u // column_parts % row_parts * v.unit_rows
    cdef int64_t plane = u // column_parts // row_parts, i, j
    for i in range(v.outer - 1, -1, -1):
        x += plane % v.shape[i] * v.strides[i]
        plane //= v.shape[i]
    x += row * v.ld + column * v.inc
    m[0], n[0], ld[0] = min(v.unit_rows, v.rows - row), min(v.unit_cols, v.cols - column), v.ld
    if v.inc == 1:
        return x
    for i in range(m[0]):
        for j in range(n[0]):
            gathered[i * n[0] + j] = x[i * v.ld + j * v.inc]
    m[0], n[0] = 1, m[0] * n[0]
    return gathered


cdef inline void add(Total *total, double hi, double lo) noexcept nogil:
    """Knuth's TwoSum."""
    cdef double s = total.hi + hi, part = s - total.hi
    total.lo += (total.hi - (s - part)) + (hi - part) + lo
    total.hi = s


cdef void sum_chunks(
    int team, int thread, const real *x, const Planes *v, double factor, int64_t chunks, Total *sums
) noexcept nogil:
    """This thread's chunks: sums[i] is that of (factor x)^2 over chunk i."""
    cdef int64_t i, u, first, last, start, stop, m, n, ld
    cdef real gathered[GATHERED]
    cdef const real *block
    cdef double hi, lo
    share(chunks, team, thread, &first, &last)
    for i in range(first, last):
        sums[i].hi = sums[i].lo = 0
        share(v.units, <int>chunks, <int>i, &start, &stop)
        for u in range(start, stop):
            block = unit(x, v, u, gathered, &m, &n, &ld)
            sum_squares_block(m, n, block, ld, factor, &hi, &lo)
            add(&sums[i], hi, lo)


cdef void add_squares(const real *x, const Planes *v, double factor, Total *total) noexcept nogil:
    """total += sum of (factor x)^2."""
    cdef Total sums[CHUNKS]
    cdef int64_t i, chunks = min(v.units, <int64_t>CHUNKS)
    cdef int team = threads_for(<double>v.planes * v.rows * v.cols, GRAIN)
    if team == 1:
        sum_chunks(1, 0, x, v, factor, chunks, sums)
    else:
        with parallel(num_threads=team):
            sum_chunks(team_size(), thread_id(), x, v, factor, chunks, sums)
    for i in range(chunks):
        add(total, sums[i].hi, sums[i].lo)


cdef void raise_to_max(const real *x, const Planes *v, double *most) noexcept nogil:
    """most = max(most, |x|); NaN if there is one."""
    cdef int64_t u, m, n, ld
    cdef real gathered[GATHERED]
    cdef const real *block
    cdef double largest
    for u in range(v.units):
        block = unit(x, v, u, gathered, &m, &n, &ld)
        largest = max_abs_block(m, n, block, ld)
        if largest > most[0] or isnan(largest):
            most[0] = largest


cdef bint safe(bint single, Total *total) noexcept nogil:
    """Whether the sum is what it should be. That of float32 always is, only the rounding errors of an infinite one are no numbers."""
    if single:
        if not isfinite(total.hi):
            total.lo = 0
        return True
    return SAFE_LOW < total.hi < SAFE_HIGH


cdef double begin_again(double most, Total *total) noexcept nogil:
    """The factor that makes the largest element some number about 1; 0 if the sum is known already."""
    total.hi = total.lo = 0
    if most == 0 or not isfinite(most):
        total.hi = most
        return 0
    frexp(most, &total.exponent)
    # 2^-exponent overflows for subnormals: the largest factor that does not is enough to make them safe
    total.exponent = max(total.exponent, -1020)
    return ldexp(1.0, -total.exponent)


cdef double root(const Total *total) noexcept nogil:
    """sqrt(hi + lo) with the rounding of sqrt(hi) mended by one Newton step."""
    cdef double r = sqrt(total.hi)
    if r > 0 and isfinite(r):
        r += (fma(-r, r, total.hi) + total.lo) / (2 * r)
    return ldexp(r, total.exponent) if total.exponent else r


cdef double square(const Total *total) noexcept nogil:
    return ldexp(total.hi + total.lo, 2 * total.exponent) if total.exponent else total.hi + total.lo


cdef int total_of(int64_t n, const real *x, Total *total) noexcept nogil:
    cdef Planes v
    cdef double most = 0, factor
    if n < 0 or (n > 0 and x is NULL):
        return BAD_ARGUMENT
    one_row(n, &v)
    total.hi, total.lo, total.exponent = 0, 0, 0
    add_squares(x, &v, 1, total)
    if not safe(real is float, total):
        raise_to_max(x, &v, &most)
        factor = begin_again(most, total)
        if factor > 0:
            add_squares(x, &v, factor, total)
    return OK


cdef int run(int64_t n, const real *x, bint squared, double *result) noexcept nogil:
    cdef Total total
    cdef int status = BAD_ARGUMENT if result is NULL else total_of(n, x, &total)
    if status == OK:
        result[0] = square(&total) if squared else root(&total)
    return status


cdef int frobenius_norm_real(int64_t n, const real *x, double *norm) noexcept nogil:
    return run(n, x, False, norm)


cdef int squared_norm_real(int64_t n, const real *x, double *square) noexcept nogil:
    return run(n, x, True, square)


cdef void visit(
    int typenum, void *x, const Planes *v, double factor, Total *total, double *most
) noexcept nogil:
    """One array's part: of the maximum if most is given, else of the sum."""
    if typenum == cnp.NPY_FLOAT:
        add_squares(<float*>x, v, factor, total)
    elif most is not NULL:
        raise_to_max(<double*>x, v, most)
    else:
        add_squares(<double*>x, v, factor, total)


cdef int visit_all(tuple arrays, int typenum, double factor, Total *total, double *most) except -1:
    cdef Planes v
    cdef char *data
    cdef cnp.ndarray a
    for a in arrays:
        data = describe(a, &v)
        if v.planes * v.rows * v.cols < KEEP_GIL:
            visit(typenum, data, &v, factor, total, most)
        else:
            with nogil:
                visit(typenum, data, &v, factor, total, most)
    return 0


cdef int total_of_arrays(object x, str op, Total *total) except -1:
    """The body of both functions."""
    cdef int typenum, i
    cdef double most = 0, factor
    cdef tuple arrays
    total.hi, total.lo, total.exponent = 0, 0, 0
    if isinstance(x, (list, tuple)):
        arrays = tuple(x)
        if not arrays:
            return 0
        typenum = real_type(arrays[0], op, "x[0]")
        for i in range(1, len(arrays)):
            real_like(arrays[i], typenum, op, f"x[{i}]", "x[0]")
    else:
        typenum = real_type(x, op, "x")
        arrays = (x,)
    visit_all(arrays, typenum, 1, total, NULL)
    if not safe(typenum == cnp.NPY_FLOAT, total):
        visit_all(arrays, typenum, 1, total, &most)
        factor = begin_again(most, total)
        if factor > 0:
            visit_all(arrays, typenum, factor, total, NULL)
    return 0


def frobenius_norm(x):
    """The square root of the sum of the squares of all elements.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides, or a list or tuple of such
        Of several arrays, all of one type, the norm is that of all their elements together, as of the gradients of a model. Nothing is copied.

    Returns
    -------
    float
        In double precision for both types, so it is right even where it exceeds the range of float32. 0.0 where there is no element;
        NaN if an element is NaN, else inf if one is infinite. It does not overflow or underflow on the way. Within 1 ulp for float64, and to a
        relative 2^-41 for float32.

    Raises
    ------
    TypeError
        If x, or one of several, is not an array of float32 or float64, or their types differ.
    """
    cdef Total total
    total_of_arrays(x, "frobenius_norm", &total)
    return root(&total)


def squared_norm(x):
    """The sum of the squares of all elements: inf or 0 only where it is beyond double precision itself.

    Parameters and errors are those of `frobenius_norm`, and so is the result but for the root.
    """
    cdef Total total
    total_of_arrays(x, "squared_norm", &total)
    return square(&total)
