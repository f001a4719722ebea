"""Weights of 16 and 8 bits: how they are packed."""
from libc.stdint cimport int64_t

from .loops cimport ceil_div

cdef enum:
    FEW = 4             # rows that are multiplied as weights are widened in registers
    GROUP = 32          # rows of a scale of int8_g32
    PART = 65_536       # rows whose int32 sums of 255 * 127 cannot overflow

cdef inline int64_t lines(int64_t bytes) noexcept nogil:
    """Return bytes in whole cache lines."""
    return ceil_div(bytes, 64) * 64

# Names of the formats, in the order of their codes from FASTNN_BF16 on.
cdef tuple FORMATS
# The bytes of a Low and what it points to.
cdef int64_t low_bytes(int format, int64_t k, int64_t n) noexcept nogil
# Round B (k, n), of any strides, into a block of so many bytes, which begins with its Low.
cdef int low_pack(
    int format, int64_t k, int64_t n, const float *b, int64_t rsb, int64_t csb, void *block
) noexcept nogil
