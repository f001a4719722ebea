"""L1 norm: sum |x_i| over all elements of one array, or of several arrays together.

*Dive into Deep Learning*, section 2.3.11. float32 is summed in double, float64 with the rounding
error of every addition (simd/reduce.h). A sum of magnitudes overflows only if the norm does.

Accuracy: float32 within a relative 2^-41 at any size (a unit is at most 2,048 additions a lane);
float64 within 1 ulp.
"""
cimport numpy as cnp
from libc.math cimport isfinite
from libc.stdint cimport int64_t

from ..ground.arrays cimport OK, call_typed, check_status
from ..ground.dispatch cimport real, sum_abs_block
from ..ground.machine cimport machine
from ..ground.threads cimport run_team, share, threads_for
from .planes cimport CHUNKS, GATHERED, KEEP_GIL, Planes, Total, add, describe, real_arrays, unit

cnp.import_array()


cdef void sum_chunks(
    int team, int thread, const real *x, const Planes *v, int64_t chunks, Total *sums
) noexcept nogil:
    """Sum this thread's chunks: sums[i] becomes the sum of |x| over chunk i."""
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
            sum_abs_block(m, n, block, ld, &hi, &lo)
            add(&sums[i], hi, lo)


cdef int add_magnitudes(const real *x, const Planes *v, Total *total) noexcept nogil:
    """Add the sum of |x| to the total."""
    cdef Total sums[CHUNKS]
    cdef int64_t i, chunks = min(v.units, <int64_t>CHUNKS)
    run_team(
        threads_for(<double>v.planes * v.rows * v.cols, 2 * machine.pass_grain), sum_chunks[real],
        x, v, chunks, sums
    )
    for i in range(chunks):
        add(total, sums[i].hi, sums[i].lo)
    return OK


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
    cdef Planes v
    cdef Total total = Total(0, 0, 0)
    cdef int typenum
    cdef char *data
    cdef cnp.ndarray a
    for a in real_arrays(x, "l1_norm", &typenum):
        data = describe(a, &v)
        check_status(
            call_typed(
                typenum, v.planes * v.rows * v.cols >= KEEP_GIL, add_magnitudes[float],
                add_magnitudes[double], <void*>data, &v, &total
            ), "l1_norm"
        )
    return total.hi + total.lo if isfinite(total.hi) else total.hi
