"""Convert ndarrays to pointers, shapes and strides; the only place with shape and layout errors."""
import sys

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t

from .memory cimport new_array
from .overlap cimport elements_collide
from .scalars import given, to_array

cnp.import_array()

WANTED = "a NumPy array of float32 or float64"


cdef bint is_masked(object x) noexcept:
    """True if x is a numpy.ma.MaskedArray, which requires that numpy.ma has been imported."""
    ma = sys.modules.get("numpy.ma")
    return ma is not None and isinstance(x, ma.MaskedArray)


cdef int refuse_masked(object x, str op, str name) except -1:
    if is_masked(x):
        raise TypeError(f"{op}: {name} is a masked array, whose mask would be ignored; "
                        "give it values with .filled()")
    return 0


cdef int refuse(object x, str op, str name) except -1:
    """Raise an error that says why x is not a usable real array."""
    refuse_masked(x, op, name)
    if not cnp.PyArray_Check(x):
        raise TypeError(f"{op}: {name} must be {WANTED}, got {given(x)}{to_array(x, name)}")
    if x.dtype.type not in (np.float32, np.float64):
        raise TypeError(f"{op}: {name} must be {WANTED}, not of {x.dtype}{to_array(x, name)}")
    if not x.dtype.isnative:
        raise TypeError(f"{op}: {name} must be {WANTED} in native byte order, got {x.dtype.str}")
    raise ValueError(f"{op}: {name} is not aligned to its elements "
                     "(a view into packed records or raw bytes?); copy it first")


cdef int refuse_dtype(cnp.ndarray x, int typenum, str op, str name, str as_name) except -1:
    wanted = cnp.PyArray_DescrFromType(typenum)
    raise TypeError(
        f"{op}: {name} is of {x.dtype} but {as_name} of {wanted}; "
        "all arrays of a call must be of one type"
    )


cdef int refuse_shape(cnp.ndarray x, cnp.ndarray like, str op, str name, str like_name) except -1:
    raise ValueError(
        f"{op}: {name} must have the shape of {like_name}, {np.shape(like)}, got {np.shape(x)}"
    )


cdef int refuse_output(cnp.ndarray out, str op, str name) except -1:
    if not cnp.PyArray_ISWRITEABLE(out):
        raise ValueError(f"{op}: {name} is read-only")
    raise ValueError(f"{op}: {name} overlaps itself: some of its elements share memory "
                     "(a broadcast or as_strided view?)")


cdef int refuse_layout(str op, str name) except -1:
    raise ValueError(f"{op}: {name} must be C-contiguous")


cdef bint overlaps_itself(cnp.ndarray x) except -1:
    """True if two elements share memory.

    Usually each axis steps over the reach of all finer axes, which settles it; two axes are decided
    by a formula. Otherwise the addresses of all elements are compared.
    """
    cdef int64_t[64] steps
    cdef int64_t[64] dims
    cdef int64_t step, dim, reach = 1
    cdef int i, j, n = 0
    if cnp.PyArray_SIZE(x) <= 1:
        return False
    for i in range(cnp.PyArray_NDIM(x)):
        dim, step = cnp.PyArray_DIM(x, i), stride(x, i)
        step = -step if step < 0 else step
        if dim == 1:
            continue
        if step == 0:
            return True
        j = n
        while j > 0 and steps[j - 1] > step:
            steps[j], dims[j] = steps[j - 1], dims[j - 1]
            j -= 1
        steps[j], dims[j] = step, dim
        n += 1
    for i in range(n):
        if steps[i] < reach:
            break
        reach += (dims[i] - 1) * steps[i]
    else:
        return False
    if n == 2:
        return elements_collide(dims[0], dims[1], steps[0], steps[1])
    return same_places([(steps[i], dims[i]) for i in range(n)])


cdef bint same_places(list axes) except -1:
    """True if two index combinations give the same address."""
    if np.prod([float(d) for _, d in axes]) > 1 + sum(s * (d - 1) for s, d in axes):
        return True         # more elements than addresses
    places = np.zeros((), np.int64)
    for step, dim in axes:
        places = np.add.outer(places, step * np.arange(dim))
    return np.unique(places).size < places.size


cdef cnp.ndarray int64_array(object x, str op, str name):
    """Return indices, labels or lengths as contiguous int64; too large a number is clamped."""
    if not is_plain(x) or not cnp.PyArray_ISINTEGER(<cnp.ndarray>x):
        refuse_masked(x, op, name)
        kind = f"an array of {x.dtype}" if cnp.PyArray_Check(x) else given(x)
        hint = to_array(x, name, "int64")
        raise TypeError(f"{op}: {name} must be a NumPy array of integers, got {kind}{hint}")
    if cnp.PyArray_ISUNSIGNED(<cnp.ndarray>x) and cnp.PyArray_ITEMSIZE(<cnp.ndarray>x) == 8:
        x = np.minimum(x, np.uint64(2**63 - 1))
    return cnp.PyArray_FROM_OTF(x, cnp.NPY_INT64,
                                cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST)


cdef int check_status(int status, str op) except -1:
    """Raise the exception of a status code."""
    if status == OK:
        return 0
    if status == NO_MEMORY:
        raise MemoryError(f"{op}: no memory for scratch")
    raise ValueError(f"{op}: bad argument")


cdef bint same_memory(cnp.ndarray a, cnp.ndarray b) noexcept:
    """True if both have the same elements in the same order, so that an operation is in place."""
    cdef int i
    if cnp.PyArray_DATA(a) != cnp.PyArray_DATA(b) or not same_shape(a, b):
        return False
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_STRIDE(a, i) != cnp.PyArray_STRIDE(b, i):
            return False
    return True


cdef void extent(cnp.ndarray x, char **low, char **high) noexcept:
    """Find the bytes [low, high) from the first to past the last element in memory."""
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
    """Raise ValueError if out and x share memory.

    Disjoint extents settle it; otherwise NumPy's exact test decides (interleaved views).
    """
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
    """Check as check_overlap does, but allow out to be x itself.

    The operation reads each element before it writes it.
    """
    return 0 if same_memory(out, x) else check_overlap(out, x, op, name, x_name)


cdef bint find_rows(cnp.ndarray x, Rows *rows) noexcept:
    """Describe x as evenly spaced rows along its last axis; False if it is not."""
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
    """Return x if it has evenly spaced contiguous rows, else a C-ordered copy.

    *rows describes the returned array.
    """
    if find_rows(x, rows):
        return x
    x = cnp.PyArray_NewCopy(x, cnp.NPY_CORDER)
    find_rows(x, rows)
    return x


cdef cnp.ndarray output_rows(
    object out, cnp.ndarray like, str op, str name, str like_name, Rows *rows
):
    """Return where a row kernel writes: out if it has evenly spaced rows, else a new array.

    The caller returns `finish_output(out, y)`.
    """
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
    """Return y, or out with y copied into it if out was given but does not have such rows."""
    if out is None or out is y:
        return y
    cnp.PyArray_CopyInto(<cnp.ndarray>out, y)
    return out


cdef cnp.ndarray shaped_output(
    object out, str op, str name, str as_name, int typenum, int ndim, cnp.npy_intp *shape, str why
):
    """Return out, a writable array of this shape and of the type of as_name, or a new array."""
    cdef cnp.ndarray y
    cdef int i
    cdef bint fits
    if out is None:
        return new_array(ndim, shape, typenum)
    y = real_like(out, typenum, op, name, as_name)
    fits = cnp.PyArray_NDIM(y) == ndim
    for i in range(ndim):
        fits = fits and cnp.PyArray_DIM(y, i) == shape[i]
    if not fits:
        wanted = tuple([shape[i] for i in range(ndim)])
        raise ValueError(f"{op}: {name} must have the shape {wanted} {why}, got {np.shape(y)}")
    if not is_output(y):
        refuse_output(y, op, name)
    return y


def check_array(str op, str name, x, like=None, str like_name=None):
    """Raise unless x is an array that kernels accept, of the type of the array `like` if given."""
    if like is None:
        real_type(x, op, name)
    else:
        real_like(x, cnp.PyArray_TYPE(<cnp.ndarray?>like), op, name, like_name)
