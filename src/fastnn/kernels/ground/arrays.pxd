"""Convert ndarrays to pointers, shapes and strides; the only place with shape and layout errors.

Kernels accept any object, check it here and work on pointers. The success path is inline; error
messages are built out of line in arrays.pyx.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

# Status codes of the functions without the GIL.
cdef enum:
    OK = 0
    NO_MEMORY = 1
    BAD_ARGUMENT = 2
    WRONG_TYPE = 3


cdef struct Rows:
    # `rows` rows of `cols` contiguous elements along the last axis, `ld` elements apart.
    int64_t rows
    int64_t cols
    int64_t ld


cdef extern from "typed.h":
    # call_typed(typenum, release the GIL, f[float], f[double], arguments of f): what f returns.
    int64_t call_typed "fastnn_call_typed"(int typenum, bint release, ...) noexcept


cdef bint is_masked(object x) noexcept
cdef bint overlaps_itself(cnp.ndarray x) except -1
cdef int refuse_masked(object x, str op, str name) except -1
cdef int refuse(object x, str op, str name) except -1
cdef int refuse_dtype(cnp.ndarray x, int typenum, str op, str name, str as_name) except -1
cdef int refuse_shape(cnp.ndarray x, cnp.ndarray like, str op, str name, str like_name) except -1
cdef int refuse_output(cnp.ndarray out, str op, str name) except -1
cdef cnp.ndarray int64_array(object x, str op, str name)
cdef int check_overlap(cnp.ndarray out, cnp.ndarray x, str op, str name, str x_name) except -1
cdef int check_in_place(cnp.ndarray out, cnp.ndarray x, str op, str name, str x_name) except -1
cdef int check_status(int status, str op) except -1
cdef bint find_rows(cnp.ndarray x, Rows *rows) noexcept
cdef cnp.ndarray with_rows(cnp.ndarray x, Rows *rows)
cdef cnp.ndarray output_rows(
    object out, cnp.ndarray like, str op, str name, str like_name, Rows *rows
)
cdef object finish_output(object out, cnp.ndarray y)
cdef cnp.ndarray shaped_output(
    object out, str op, str name, str as_name, int typenum, int ndim, cnp.npy_intp *shape, str why
)
cdef int refuse_layout(str op, str name) except -1


cdef inline bint is_plain(object x) noexcept:
    """True if x is a NumPy array without a mask; a kernel would compute with masked elements."""
    return cnp.PyArray_CheckExact(x) or (cnp.PyArray_Check(x) and not is_masked(x))


cdef inline int real_type(object x, str op, str name) except -1:
    """Return NPY_FLOAT or NPY_DOUBLE; raise unless x is an aligned, native real array."""
    cdef int typenum
    if is_plain(x):
        typenum = cnp.PyArray_TYPE(<cnp.ndarray>x)
        if ((typenum == cnp.NPY_FLOAT or typenum == cnp.NPY_DOUBLE)
                and cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>x)):
            return typenum
    return refuse(x, op, name)


cdef inline cnp.ndarray real_like(object x, int typenum, str op, str name, str as_name):
    """Return x as an array of the same real type as the array named as_name."""
    if real_type(x, op, name) != typenum:
        refuse_dtype(<cnp.ndarray>x, typenum, op, name, as_name)
    return <cnp.ndarray>x


cdef inline bint same_shape(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef int i, ndim = cnp.PyArray_NDIM(a)
    if cnp.PyArray_NDIM(b) != ndim:
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(a, i) != cnp.PyArray_DIM(b, i):
            return False
    return True


cdef inline cnp.ndarray shaped_like(object x, cnp.ndarray like, str op, str name, str like_name):
    """Return x as an array of the same real type and shape as like."""
    real_like(x, cnp.PyArray_TYPE(like), op, name, like_name)
    if not same_shape(<cnp.ndarray>x, like):
        refuse_shape(<cnp.ndarray>x, like, op, name, like_name)
    return <cnp.ndarray>x


cdef inline bint is_output(cnp.ndarray x) except -1:
    """True if x is writable and no two of its elements share memory."""
    if cnp.PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_WRITEABLE):
        return True
    return cnp.PyArray_ISWRITEABLE(x) and not overlaps_itself(x)


cdef inline cnp.ndarray output_like(object out, cnp.ndarray like, str op, str name, str like_name):
    """Return out as a writable array of the same real type and shape as like."""
    shaped_like(out, like, op, name, like_name)
    if not is_output(<cnp.ndarray>out):
        refuse_output(<cnp.ndarray>out, op, name)
    return <cnp.ndarray>out


cdef inline int check_contiguous(cnp.ndarray x, str op, str name) except -1:
    return 0 if cnp.PyArray_IS_C_CONTIGUOUS(x) else refuse_layout(op, name)


cdef inline int64_t stride(cnp.ndarray x, int axis) noexcept:
    """Return the stride in elements."""
    return cnp.PyArray_STRIDE(x, axis) // cnp.PyArray_ITEMSIZE(x)


cdef inline void *data_of(cnp.ndarray x) noexcept:
    """Return the address of the first element, or NULL if x is None."""
    return NULL if x is None else cnp.PyArray_DATA(x)


cdef inline bint bad_rows(
    int64_t rows, int64_t cols, const void *a, const void *b
) noexcept nogil:
    """True if a size is negative, or there are elements but one of two pointers to them is NULL."""
    return rows < 0 or cols < 0 or (rows > 0 and cols > 0 and (a is NULL or b is NULL))
