"""Frobenius norm: sqrt(sum x_i^2) over all elements (*Dive into Deep Learning*, section 2.3.11).

float32 is squared and summed in double, where nothing can overflow or underflow. float64 is summed with compensation (csrc/reduce.h); where the
plain sum left the safe range it is taken again over x / 2^e, e the exponent of max |x_i|.
Blocks of fixed size are summed by themselves and combined in order, so the bits do not depend on the number of threads.
Accuracy: float32 to a relative 2^-41 at any size (a block is at most 2,048 additions a lane, its half counts), so rounding the result to float32
is right but for a few ties in a million; float64 within 1 ulp.
"""
cimport numpy as cnp
from cython.parallel cimport parallel
from libc.math cimport INFINITY, fma, frexp, isnan, ldexp, sqrt
from libc.stdint cimport int64_t

from .arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, check_status, real_type
from .dispatch cimport max_abs_run, real, sum_squares_run
from .memory cimport give, take
from .threads cimport share, team_size, thread_id, threads_for

cnp.import_array()

cdef enum:
    BLOCK = 16384       # elements summed by themselves
    GRAIN = 65536       # elements a thread should have. 131,072: 8.0 us by one thread, 4.7 by two
    KEEP_GIL = 8192     # elements, 0.6 us, below which the GIL is kept: letting go costs 15 ns, and a wait where another thread takes it

cdef double SAFE_LOW = 1e-270      # a sum of squares in here has lost nothing that counts to underflow, and nothing overflowed
cdef double SAFE_HIGH = 1e300


cdef void block_sums(int team, int thread, int64_t n, const real *x, double factor, double *sums) noexcept nogil:
    """This thread's blocks: sums[2 i] + sums[2 i + 1] = sum of (factor x)^2 over block i."""
    cdef int64_t i, first, last
    share((n + BLOCK - 1) // BLOCK, team, thread, &first, &last)
    for i in range(first, last):
        sum_squares_run(min(<int64_t>BLOCK, n - i * BLOCK), x + i * BLOCK, factor, &sums[2 * i], &sums[2 * i + 1])


cdef void sum_squares(int64_t n, const real *x, double factor, double *sums, double *hi, double *lo) noexcept nogil:
    """hi + lo = sum of (factor x)^2."""
    cdef int team = threads_for(n, GRAIN)
    cdef int64_t i
    cdef double s = 0, c = 0, total, part
    if team == 1:
        block_sums(1, 0, n, x, factor, sums)
    else:
        with parallel(num_threads=team):
            block_sums(team_size(), thread_id(), n, x, factor, sums)
    for i in range((n + BLOCK - 1) // BLOCK):       # TwoSum, as in csrc/reduce.h
        total = s + sums[2 * i]
        part = total - s
        c += (s - (total - part)) + (sums[2 * i] - part) + sums[2 * i + 1]
        s = total
    hi[0] = s
    lo[0] = c


cdef double root(double hi, double lo) noexcept nogil:
    """sqrt(hi + lo) with the rounding of sqrt(hi) mended by one Newton step."""
    cdef double r = sqrt(hi)
    return r if r == 0 or r == INFINITY else r + (fma(-r, r, hi) + lo) / (2 * r)


cdef int run(int64_t n, const real *x, double *norm) noexcept nogil:
    cdef double hi, lo
    cdef double *sums
    cdef real most
    cdef int exponent
    if n < 0 or (n > 0 and x is NULL):
        return BAD_ARGUMENT
    sums = <double*>take((n + BLOCK - 1) // BLOCK * 2 * <int64_t>sizeof(double))
    if sums is NULL:
        return NO_MEMORY
    sum_squares(n, x, 1, sums, &hi, &lo)
    if real is float or SAFE_LOW < hi < SAFE_HIGH:
        norm[0] = root(hi, lo)
    else:
        most = max_abs_run(n, x)
        if most == 0 or most == INFINITY or isnan(most):
            norm[0] = most
        else:
            frexp(most, &exponent)
            # 2^-exponent overflows for subnormals: the largest factor that does not is enough to make them safe
            exponent = max(exponent, -1020)
            sum_squares(n, x, ldexp(1.0, -exponent), sums, &hi, &lo)
            norm[0] = ldexp(root(hi, lo), exponent)
    give(sums)
    return OK


cdef int frobenius_norm_f32(int64_t n, const float *x, double *norm) noexcept nogil:
    return run(n, x, norm)


cdef int frobenius_norm_f64(int64_t n, const double *x, double *norm) noexcept nogil:
    return run(n, x, norm)


def frobenius_norm(x):
    """The square root of the sum of the squares of all elements.

    Parameters
    ----------
    x : ndarray of float32 or float64, any shape and strides
        What is not contiguous in some order of its axes is copied first.

    Returns
    -------
    float
        In double precision for both types, so it is right even where it exceeds the range of float32. 0.0 for an empty array;
        NaN if an element is NaN, else inf if one is infinite. It does not overflow or underflow on the way.

    Raises
    ------
    TypeError
        If x is not an array of float32 or float64.
    """
    cdef int typenum = real_type(x, "frobenius_norm", "x"), status
    cdef cnp.ndarray a = <cnp.ndarray>x
    cdef double norm = 0
    cdef int64_t n
    if not (cnp.PyArray_IS_C_CONTIGUOUS(a) or cnp.PyArray_IS_F_CONTIGUOUS(a)):
        a = cnp.PyArray_NewCopy(a, cnp.NPY_KEEPORDER)
    cdef void *data = cnp.PyArray_DATA(a)
    n = cnp.PyArray_SIZE(a)
    if n < KEEP_GIL:
        status = frobenius_norm_f32(n, <float*>data, &norm) if typenum == cnp.NPY_FLOAT else frobenius_norm_f64(n, <double*>data, &norm)
    else:
        with nogil:
            status = frobenius_norm_f32(n, <float*>data, &norm) if typenum == cnp.NPY_FLOAT else frobenius_norm_f64(n, <double*>data, &norm)
    check_status(status, "frobenius_norm")
    return norm
