"""ndarray -> pointer, shape, strides; the one place that words a shape, dtype or layout error."""
import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t

from .memory cimport new_array

cnp.import_array()

WANTED = "a NumPy array of float32 or float64"


cdef int refuse(object x, str op, str name) except -1:
    """Say what is wrong with x as a real array."""
    if not cnp.PyArray_Check(x):
        raise TypeError(f"{op}: {name} must be {WANTED}, not {type(x).__name__}")
    if x.dtype.type not in (np.float32, np.float64):
        raise TypeError(f"{op}: {name} must be {WANTED}, not of {x.dtype}")
    if not x.dtype.isnative:
        raise TypeError(f"{op}: {name} must be {WANTED} in native byte order, not {x.dtype.str}")
    raise ValueError(f"{op}: {name} is not aligned to its elements (a view into packed records or raw bytes?); copy it first")


cdef int refuse_dtype(cnp.ndarray x, int typenum, str op, str name, str as_name) except -1:
    wanted = "float64" if typenum == cnp.NPY_DOUBLE else "float32"
    raise TypeError(f"{op}: {name} is of {x.dtype} but {as_name} of {wanted}; all arrays of a call must be of one type")


cdef int refuse_shape(cnp.ndarray x, cnp.ndarray like, str op, str name, str like_name) except -1:
    raise ValueError(f"{op}: {name} must have the shape of {like_name}, {np.shape(like)}, not {np.shape(x)}")


cdef int refuse_output(cnp.ndarray out, str op, str name) except -1:
    if not cnp.PyArray_ISWRITEABLE(out):
        raise ValueError(f"{op}: {name} is read-only")
    raise ValueError(f"{op}: {name} overlaps itself: a stride is 0")


cdef cnp.ndarray int64_array(object x, str op, str name):
    """Indices, labels or lengths as contiguous int64; a number too large for that becomes the largest."""
    if not cnp.PyArray_Check(x) or not cnp.PyArray_ISINTEGER(<cnp.ndarray>x):
        kind = f"an array of {x.dtype}" if cnp.PyArray_Check(x) else type(x).__name__
        raise TypeError(f"{op}: {name} must be a NumPy array of integers, not {kind}")
    if cnp.PyArray_ISUNSIGNED(<cnp.ndarray>x) and cnp.PyArray_ITEMSIZE(<cnp.ndarray>x) == 8:
        x = np.minimum(x, np.uint64(2**63 - 1))
    return cnp.PyArray_FROM_OTF(x, cnp.NPY_INT64, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST)


cdef int check_status(int status, str op) except -1:
    """Turn the status of a nogil face into an exception."""
    if status == OK:
        return 0
    if status == NO_MEMORY:
        raise MemoryError(f"{op}: no memory for scratch")
    raise ValueError(f"{op}: bad argument")


cdef bint same_memory(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Both address the same elements in the same order: an operation on a may then run in place."""
    cdef int i
    if cnp.PyArray_DATA(a) != cnp.PyArray_DATA(b) or not same_shape(a, b):
        return False
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_STRIDE(a, i) != cnp.PyArray_STRIDE(b, i):
            return False
    return True


cdef void extent(cnp.ndarray x, char **low, char **high) noexcept:
    """The bytes [low, high) from the first to past the last element in memory."""
    cdef int i
    low[0] = <char*>cnp.PyArray_DATA(x)
    high[0] = low[0] + cnp.PyArray_ITEMSIZE(x)
    for i in range(cnp.PyArray_NDIM(x)):
        if cnp.PyArray_DIM(x, i) == 0:
            high[0] = low[0]
            return
        if cnp.PyArray_STRIDE(x, i) > 0:
            high[0] += (cnp.PyArray_DIM(x, i) - 1) * cnp.PyArray_STRIDE(x, i)
        else:
            low[0] += (cnp.PyArray_DIM(x, i) - 1) * cnp.PyArray_STRIDE(x, i)


cdef int check_overlap(cnp.ndarray out, cnp.ndarray x, str op, str name, str x_name) except -1:
    """ValueError if out and x share memory. Extents decide nearly always; interleaved views are left to NumPy's exact test."""
    cdef char *low
    cdef char *high
    cdef char *x_low
    cdef char *x_high
    extent(out, &low, &high)
    extent(x, &x_low, &x_high)
    if high <= x_low or x_high <= low:
        return 0
    if np.shares_memory(out, x):
        raise ValueError(f"{op}: {name} overlaps {x_name}")
    return 0


cdef int check_in_place(cnp.ndarray out, cnp.ndarray x, str op, str name, str x_name) except -1:
    """As check_overlap, but out may be x itself: element by element the operation reads before it writes."""
    return 0 if same_memory(out, x) else check_overlap(out, x, op, name, x_name)


cdef bint find_rows(cnp.ndarray x, Rows *rows) noexcept:
    """Describe x as evenly spaced rows along its last axis, if it is that."""
    cdef int i, last = cnp.PyArray_NDIM(x) - 1
    cdef int64_t count = 1
    rows.cols = cnp.PyArray_DIM(x, last) if last >= 0 else 1
    rows.rows = cnp.PyArray_SIZE(x) // rows.cols if rows.cols > 0 else 0
    rows.ld = rows.cols
    if cnp.PyArray_IS_C_CONTIGUOUS(x):
        return True
    if rows.cols > 1 and stride(x, last) != 1:
        return False
    for i in range(last - 1, -1, -1):
        if cnp.PyArray_DIM(x, i) == 1:
            continue
        if count == 1:
            rows.ld = stride(x, i)
        elif stride(x, i) != rows.ld * count:
            return False
        count *= cnp.PyArray_DIM(x, i)
    return True


cdef cnp.ndarray with_rows(cnp.ndarray x, Rows *rows):
    """x itself if it is made of evenly spaced contiguous rows, else a C-ordered copy; *rows describes what is returned."""
    if find_rows(x, rows):
        return x
    x = cnp.PyArray_NewCopy(x, cnp.NPY_CORDER)
    find_rows(x, rows)
    return x


cdef cnp.ndarray output_rows(object out, cnp.ndarray like, str op, str name, str like_name, Rows *rows):
    """Where a row kernel writes: out if it is given and made of rows, a new array if not. See finish_output."""
    cdef cnp.ndarray y
    if out is None:
        y = new_array(cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), cnp.PyArray_TYPE(like))
    else:
        y = output_like(out, like, op, name, like_name)
        if not find_rows(y, rows):
            y = new_array(cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), cnp.PyArray_TYPE(like))
    find_rows(y, rows)
    return y


cdef object finish_output(object out, cnp.ndarray y):
    """What the caller gets: y, or out with y copied into it if out was not made of rows."""
    if out is None or out is y:
        return y
    cnp.PyArray_CopyInto(<cnp.ndarray>out, y)
    return out
