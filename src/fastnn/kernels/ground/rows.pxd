"""Run a kernel that works on rows on arrays of any shape and strides."""
from libc.stdint cimport int64_t


cdef struct RowCall:
    # `rows` rows of `cols` contiguous elements of the inputs x and other and of the output y, `ld`
    # elements apart. other is NULL for kernels of one input.
    int64_t rows, cols
    const void *x
    int64_t ldx
    const void *other
    int64_t ldother
    void *y
    int64_t ldy
    const void *options     # the kernel's own


# A function with a fused type, whose last argument is NULL and only says the type.
ctypedef int (*Kernel32)(const RowCall *c, const float *like) noexcept nogil
ctypedef int (*Kernel64)(const RowCall *c, const double *like) noexcept nogil


cdef struct RowKernel:
    Kernel32 f32
    Kernel64 f64
    int64_t keep_gil        # elements below which a call keeps the GIL (docs/tuning.md)


cdef object over_rows(
    const RowKernel *kernel, const void *options, bint flat, str op, object x, str x_name,
    object other, str other_name, object out
)
