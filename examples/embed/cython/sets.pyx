# cython: language_level=3
"""Attention pooling of ragged sets in one loop, without the GIL and Python objects.

The rows of each set x (n, width) are weighted by softmax(x q / sqrt(width)).
"""
from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from fastnn.kernels.api cimport gemm_f32, softmax_f32


def pool(
    const float[:, ::1] x,
    const int64_t[::1] starts,
    const float[::1] query,
    float[:, ::1] out,
):
    """Write out[i] = softmax(x_i query / sqrt(width)) x_i.

    x_i is x[starts[i] : starts[i + 1]]; an empty set gives zeros.
    """
    cdef int64_t i, n, longest = 0, width = x.shape[1], sets = starts.shape[0] - 1
    cdef int status = 0
    if query.shape[0] != width or out.shape[0] != sets or out.shape[1] != width:
        raise ValueError("shapes do not fit")
    for i in range(sets):
        if not 0 <= starts[i] <= starts[i + 1] <= x.shape[0]:
            raise ValueError("starts must be rows of x, in order")
        longest = max(longest, starts[i + 1] - starts[i])
    cdef float *weights = <float*>malloc(max(longest, 1) * sizeof(float))
    if weights is NULL:
        raise MemoryError
    with nogil:
        for i in range(sets):
            n = starts[i + 1] - starts[i]
            if n == 0:
                out[i, :] = 0
                continue
            status = gemm_f32(
                n, 1, width, <float>(1 / sqrt(<double>width)),
                &x[starts[i], 0], width, 1,
                &query[0], 1, 1,
                0, weights, 1, 1,
                NULL, 0, NULL,
            )
            if status == 0:
                status = softmax_f32(1, n, weights, n, weights, n)
            if status == 0:
                status = gemm_f32(
                    1, width, n, 1,
                    weights, n, 1,
                    &x[starts[i], 0], width, 1,
                    0, &out[i, 0], width, 1,
                    NULL, 0, NULL,
                )
            if status != 0:
                break
    free(weights)
    if status != 0:
        raise RuntimeError(f"fastnn returned {status}")
