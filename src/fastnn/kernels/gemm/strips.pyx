"""Weights of 16 and 8 bits, rounded and packed in strips of columns (low.h).

The formats are described in low.pyx, which multiplies by them.
"""
from libc.math cimport NAN, fabsf, rintf
from libc.stdint cimport int32_t, int64_t, uint16_t
from libc.string cimport memset

from ..ground.arrays cimport OK
from ..ground.dispatch cimport (FASTNN_BF16, FASTNN_INT8, FASTNN_INT8_G32, FASTNN_STRIP,
                                bf16_round)
from ..ground.machine cimport machine
from ..ground.threads cimport run_team, share, threads_for
from .loops cimport CHAIN, Low, block_k, ceil_div, padded, row_bytes

cdef tuple FORMATS = ("bf16", "int8", "int8_g32")


cdef int64_t lay_out(int format, int64_t k, int64_t n, Low *w, void *block) noexcept nogil:
    """Set *w to a matrix in this block, and return its bytes."""
    cdef int64_t rest, blocks, scales = 0, sums = 0, at = lines(sizeof(Low))
    w.format, w.k, w.n, w.strips = format, k, n, ceil_div(n, FASTNN_STRIP)
    w.kc = CHAIN if format == FASTNN_INT8 else block_k(k)
    blocks = ceil_div(k, w.kc)
    rest = k - (blocks - 1) * w.kc
    w.rows = (blocks - 1) * padded(w.kc) + padded(rest) if k > 0 else 0
    w.next, w.ahead = w.rows * FASTNN_STRIP * row_bytes(format), 0
    if format == FASTNN_INT8:
        w.ahead = FASTNN_STRIP
        sums = w.strips * FASTNN_STRIP * max(<int64_t>1, ceil_div(k, PART))
    elif format == FASTNN_INT8_G32 and k > 0:
        w.ahead = FASTNN_STRIP * ((blocks - 1) * ceil_div(w.kc, GROUP) + ceil_div(rest, GROUP))
    scales = w.strips * w.ahead
    w.data = <char*>block + at
    at += lines(w.strips * w.next)
    w.scales = <float*>(<char*>block + at)
    at += lines(4 * scales)
    w.sums = <int32_t*>(<char*>block + at)
    return at + lines(4 * sums)


cdef int64_t low_bytes(int format, int64_t k, int64_t n) noexcept nogil:
    cdef Low w
    return lay_out(format, k, n, &w, NULL)


cdef void round_rows(
    Low *w, int64_t strip, int64_t p, int64_t count, const float *b, int64_t rsb, int64_t csb,
    char *data
) noexcept nogil:
    """Round `count` rows of B, from row p on, to bfloat16 into the units at data."""
    cdef float[FASTNN_STRIP] values
    cdef uint16_t[FASTNN_STRIP] rounded
    cdef int64_t i, c, j = strip * FASTNN_STRIP, width = min(w.n - j, <int64_t>FASTNN_STRIP)
    for i in range(count):
        for c in range(width):
            values[c] = b[(p + i) * rsb + (j + c) * csb]
        bf16_round(width, values, rounded)
        for c in range(width):
            (<uint16_t*>data)[(i // 2 * FASTNN_STRIP + c) * 2 + i % 2] = rounded[c]


cdef void find_scales(
    Low *w, int64_t strip, int64_t p, int64_t count, const float *b, int64_t rsb, int64_t csb,
    float *scales
) noexcept nogil:
    """Find the scales of the columns of a strip for `count` rows of B."""
    cdef int64_t i, c, j = strip * FASTNN_STRIP, width = min(w.n - j, <int64_t>FASTNN_STRIP)
    cdef float v
    cdef bint finite
    for c in range(width):
        scales[c], finite = 0, True
        for i in range(p, p + count):
            v = b[i * rsb + (j + c) * csb]
            finite = finite and v - v == 0
            scales[c] = max(scales[c], fabsf(v))
        scales[c] = scales[c] / <float>127 if finite else <float>NAN
        if scales[c] < <float>1.1754943508222875e-38:       # 2^-126
            scales[c] = 0


cdef void quantize_rows(
    Low *w, int64_t strip, int64_t p, int64_t count, const float *b, int64_t rsb, int64_t csb,
    const float *scales, char *data
) noexcept nogil:
    """Round `count` rows of B to integers times scales into the units at data."""
    cdef int64_t i, c, j = strip * FASTNN_STRIP, width = min(w.n - j, <int64_t>FASTNN_STRIP)
    cdef int32_t q
    for i in range(count):
        for c in range(width):
            q = <int32_t>rintf(b[(p + i) * rsb + (j + c) * csb] / scales[c]) if scales[c] > 0 else 0
            (<signed char*>data)[(i // 4 * FASTNN_STRIP + c) * 4 + i % 4] = <signed char>q
            if w.format == FASTNN_INT8:
                w.sums[(p + i) // PART * w.strips * FASTNN_STRIP + j + c] += q


cdef void pack_strip(
    Low *w, int64_t strip, const float *b, int64_t rsb, int64_t csb
) noexcept nogil:
    """Pack the columns of a strip, block by block."""
    cdef char *data = <char*>w.data + strip * w.next
    cdef float *scales = w.scales + strip * w.ahead
    cdef int64_t p = 0, i, kb, count
    if w.format == FASTNN_INT8:
        find_scales(w, strip, 0, w.k, b, rsb, csb, scales)
    while p < w.k:
        kb = min(w.kc, w.k - p)
        if w.format == FASTNN_BF16:
            round_rows(w, strip, p, kb, b, rsb, csb, data)
        elif w.format == FASTNN_INT8:
            quantize_rows(w, strip, p, kb, b, rsb, csb, scales, data)
        else:
            for i in range(0, kb, 32):      # GROUP
                count = min(kb - i, <int64_t>GROUP)
                find_scales(w, strip, p + i, count, b, rsb, csb, scales)
                quantize_rows(w, strip, p + i, count, b, rsb, csb, scales,
                              data + i * FASTNN_STRIP)
                scales += FASTNN_STRIP
        data += padded(kb) * FASTNN_STRIP * row_bytes(w.format)
        p += kb


cdef void pack_share(
    int team, int thread, Low *w, const float *b, int64_t rsb, int64_t csb
) noexcept nogil:
    cdef int64_t strip, first, last
    share(w.strips, team, thread, &first, &last)
    for strip in range(first, last):
        pack_strip(w, strip, b, rsb, csb)


cdef int low_pack(
    int format, int64_t k, int64_t n, const float *b, int64_t rsb, int64_t csb, void *block
) noexcept nogil:
    cdef Low *w = <Low*>block
    memset(block, 0, low_bytes(format, k, n))
    lay_out(format, k, n, w, block)
    run_team(threads_for(<double>k * n, machine.math_grain), pack_share, w, b, rsb, csb)
    return OK
