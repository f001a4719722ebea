"""Norms over all elements of one array, or of several arrays together.

    Frobenius   sqrt(sum x_i^2)         *Dive into Deep Learning*, section 2.3.11
    L1          sum |x_i|

float32 is squared and summed in double, where nothing overflows or underflows. float64 is summed to
about twice its precision (simd/reduce.h). If the sum of its squares leaves the safe range, it is
repeated over x / 2^e, e being the exponent of max |x_i|; a sum of magnitudes overflows only if the
norm does.

Arrays of any strides are walked in an order that their layout alone fixes (planes.pxd), so the bits
do not depend on the number of threads.

Accuracy: float32 within a relative 2^-41 at any size (a unit is at most 2,048 additions a lane);
float64 within 1 ulp (the sum to 2^-57, then one Newton step for the root).
"""
cimport numpy as cnp
from libc.math cimport fma, frexp, isfinite, isnan, ldexp, sqrt
from libc.stdint cimport int64_t

from ..ground.arrays cimport BAD_ARGUMENT, OK, call_typed, check_status
from ..ground.dispatch cimport max_abs_block, real, sum_abs_block, sum_squares_block
from ..ground.machine cimport machine
from ..ground.threads cimport run_team, share, threads_for
from .planes cimport (
    CHUNKS, GATHERED, KEEP_GIL, Planes, Total, add, describe, one_row, real_arrays, unit
)

cnp.import_array()

# A sum of squares in this range has not overflowed, nor lost anything that counts to underflow.
cdef double SAFE_LOW = 1e-270
cdef double SAFE_HIGH = 1e300
cdef enum:
    MAGNITUDES = 0      # in place of a factor: the sum of |x|, not of (factor x)^2


cdef void sum_chunks(
    int team, int thread, const real *x, const Planes *v, double factor, int64_t chunks, Total *sums
) noexcept nogil:
    """Sum this thread's chunks: sums[i] becomes the sum over chunk i."""
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
            if factor == MAGNITUDES:
                sum_abs_block(m, n, block, ld, &hi, &lo)
            else:
                sum_squares_block(m, n, block, ld, factor, &hi, &lo)
            add(&sums[i], hi, lo)


cdef void add_terms(const real *x, const Planes *v, double factor, Total *total) noexcept nogil:
    """Add the sum of (factor x)^2, or of |x|, to the total."""
    cdef Total sums[CHUNKS]
    cdef int64_t i, chunks = min(v.units, <int64_t>CHUNKS)
    run_team(
        threads_for(<double>v.planes * v.rows * v.cols, 2 * machine.pass_grain), sum_chunks[real],
        x, v, factor, chunks, sums
    )
    for i in range(chunks):
        add(total, sums[i].hi, sums[i].lo)


cdef void raise_to_max(const real *x, const Planes *v, double *most) noexcept nogil:
    """Raise most to max(most, |x|); NaN if any element is NaN."""
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
    """True if the sum neither overflowed nor underflowed.

    float32 is summed in double and cannot; only drop the NaN error term of an infinite sum.
    """
    if single:
        if not isfinite(total.hi):
            total.lo = 0
        return True
    return SAFE_LOW < total.hi < SAFE_HIGH


cdef double begin_again(double most, Total *total) noexcept nogil:
    """Reset the total and return the factor that brings the largest element near 1.

    Returns 0 if no second pass is needed.
    """
    total.hi = total.lo = 0
    if most == 0 or not isfinite(most):
        total.hi = most
        return 0
    frexp(most, &total.exponent)
    # Limit the factor for subnormals, where 2^-exponent would overflow; this is enough to be safe.
    total.exponent = max(total.exponent, -1020)
    return ldexp(1.0, -total.exponent)


cdef double root(const Total *total) noexcept nogil:
    """Return sqrt(hi + lo): one Newton step corrects the rounding of sqrt(hi)."""
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
    add_terms(x, &v, 1, total)
    if not safe(real is float, total):
        raise_to_max(x, &v, &most)
        factor = begin_again(most, total)
        if factor > 0:
            add_terms(x, &v, factor, total)
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


cdef int visit(
    const real *x, const Planes *v, double factor, Total *total, double *most
) noexcept nogil:
    """Add one array to the sum, or raise the maximum if most is given."""
    if most is NULL:
        add_terms(x, v, factor, total)
    else:
        raise_to_max(x, v, most)
    return OK


cdef int visit_all(
    tuple arrays, int typenum, double factor, Total *total, double *most, str op
) except -1:
    cdef Planes v
    cdef char *data
    cdef cnp.ndarray a
    for a in arrays:
        data = describe(a, &v)
        check_status(
            call_typed(
                typenum, v.planes * v.rows * v.cols >= KEEP_GIL, visit[float], visit[double],
                <void*>data, &v, factor, total, most
            ), op
        )
    return 0


cdef int total_of_arrays(object x, str op, Total *total) except -1:
    """Compute the total of one array, or of a list or tuple of arrays."""
    cdef int typenum
    cdef double most = 0, factor
    cdef tuple arrays = real_arrays(x, op, &typenum)
    total.hi, total.lo, total.exponent = 0, 0, 0
    visit_all(arrays, typenum, 1, total, NULL, op)
    if not safe(typenum == cnp.NPY_FLOAT, total):
        visit_all(arrays, typenum, 1, total, &most, op)
        factor = begin_again(most, total)
        if factor > 0:
            visit_all(arrays, typenum, factor, total, NULL, op)
    return 0


def frobenius_norm(x):
    """Return the square root of the sum of the squares of all elements.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides, or a list or tuple of such
        Several arrays of one type give the norm of all elements together; nothing is copied.

    Returns
    -------
    float
        A double, never overflowing on the way. 0.0 without elements; NaN if an element is NaN,
        else inf if one is infinite. Within 1 ulp for float64, a relative 2^-41 for float32.

    Raises
    ------
    TypeError
        If x, or one of its items, is not an array of float32 or float64, or their types differ.

    Examples
    --------
    >>> fastnn.frobenius_norm([np.float32([3]), np.float32([4])])
    5.0
    """
    cdef Total total
    total_of_arrays(x, "frobenius_norm", &total)
    return root(&total)


def squared_norm(x):
    """Return the sum of the squares of all elements: `frobenius_norm` without the root.

    Examples
    --------
    >>> fastnn.squared_norm(np.float32([3, 4]))
    25.0
    """
    cdef Total total
    total_of_arrays(x, "squared_norm", &total)
    return square(&total)


def l1_norm(x):
    """Return the sum of the magnitudes of all elements.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides, or a list or tuple of such
        Several arrays of one type give the norm of all elements together; nothing is copied.

    Returns
    -------
    float
        A double: 0.0 without elements; NaN if an element is NaN, else inf if one is infinite.
        Within 1 ulp for float64, a relative 2^-41 for float32.

    Raises
    ------
    TypeError
        If x, or one of its items, is not an array of float32 or float64, or their types differ.

    References
    ----------
    Zhang et al., *Dive into Deep Learning*, 2.3.11, "Norms".

    Examples
    --------
    >>> fastnn.l1_norm(np.float32([3, -4]))
    7.0
    """
    cdef Total total = Total(0, 0, 0)
    cdef int typenum
    cdef tuple arrays = real_arrays(x, "l1_norm", &typenum)
    visit_all(arrays, typenum, MAGNITUDES, &total, NULL, "l1_norm")
    return total.hi + total.lo if isfinite(total.hi) else total.hi
