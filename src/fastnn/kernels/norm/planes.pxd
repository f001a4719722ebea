"""The walk over the elements of arrays that norms sum, in an order that the layout alone fixes.

An array of any strides is walked as planes of rows. A unit is a block of rows or a part of a row;
consecutive units make a chunk, at most CHUNKS in all, summed separately and combined in order. So
the bits do not depend on the number of threads.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

from ..ground.arrays cimport real_like, real_type
from ..ground.dispatch cimport real

cdef enum:
    UNIT = 16384        # maximum elements of a unit, of at most 512 rows; reduce.h relies on both
    GATHERED = 2048     # the same if they are not contiguous and are gathered first
    SHORT_ROW = 32      # elements that take as long as the end of a row
    CHUNKS = 256        # maximum number of sums that are combined at the end
    KEEP_GIL = 8192     # elements below which a call keeps the GIL (docs/tuning.md)
    MOST_AXES = 64      # maximum axes of an ndarray


cdef struct Planes:
    # rows x cols elements, with strides `ld` and `inc`, for each index of the outer axes.
    int64_t rows, cols, ld, inc, planes
    int64_t unit_rows, unit_cols, units     # how a plane is cut; the units of all planes
    int outer
    int64_t shape[MOST_AXES]
    int64_t strides[MOST_AXES]


cdef struct Total:
    # A sum of squares is (hi + lo) 2^(2 exponent), any other sum hi + lo.
    double hi, lo
    int exponent


cdef inline void cut(Planes *v) noexcept nogil:
    """Choose the size of the units."""
    cdef int64_t most = UNIT if v.inc == 1 else GATHERED
    v.unit_cols = min(v.cols, most)
    v.unit_rows = 1 if v.cols > most else max(<int64_t>1, most // (v.cols + SHORT_ROW))
    if v.planes * v.rows * v.cols == 0:
        v.units = 0
    else:
        v.units = v.planes * (
            (v.rows + v.unit_rows - 1) // v.unit_rows
        ) * ((v.cols + v.unit_cols - 1) // v.unit_cols)


cdef inline void one_row(int64_t n, Planes *v) noexcept nogil:
    v.rows, v.cols, v.ld, v.inc, v.planes, v.outer = 1, n, n, 1, 1, 0
    cut(v)


cdef inline char *describe(cnp.ndarray x, Planes *v) noexcept:
    """Describe x in the order of memory and return its first address.

    Axes are sorted by falling stride, flipped to positive strides, and merged if contiguous.
    """
    cdef char *data = <char*>cnp.PyArray_DATA(x)
    cdef int64_t size = cnp.PyArray_ITEMSIZE(x), step, n
    cdef int axis, i, last = -1
    if cnp.PyArray_IS_C_CONTIGUOUS(x) or cnp.PyArray_IS_F_CONTIGUOUS(x):
        one_row(cnp.PyArray_SIZE(x), v)
        return data
    for axis in range(cnp.PyArray_NDIM(x)):
        n, step = cnp.PyArray_DIM(x, axis), cnp.PyArray_STRIDE(x, axis) // size
        if n == 1:
            continue
        if step < 0:
            data += (n - 1) * step * size
            step = -step
        last += 1
        i = last
        while i > 0 and v.strides[i - 1] < step:
            v.shape[i], v.strides[i] = v.shape[i - 1], v.strides[i - 1]
            i -= 1
        v.shape[i], v.strides[i] = n, step
    axis = 0
    for i in range(1, last + 1):
        if v.strides[axis] == v.strides[i] * v.shape[i]:
            v.shape[axis] *= v.shape[i]
        else:
            axis += 1
            v.shape[axis] = v.shape[i]
        v.strides[axis] = v.strides[i]
    v.cols, v.inc = v.shape[axis], v.strides[axis]
    v.rows, v.ld = 1, v.cols
    if axis > 0:
        v.rows, v.ld = v.shape[axis - 1], v.strides[axis - 1]
    v.outer, v.planes = max(axis - 1, 0), 1
    for i in range(v.outer):
        v.planes *= v.shape[i]
    cut(v)
    return data


cdef inline const real *unit(
    const real *x, const Planes *v, int64_t u, real *gathered, int64_t *m, int64_t *n, int64_t *ld
) noexcept nogil:
    """Return unit u as m rows of n contiguous elements, in place or gathered."""
    cdef int64_t column_parts = (v.cols + v.unit_cols - 1) // v.unit_cols
    cdef int64_t row_parts = (v.rows + v.unit_rows - 1) // v.unit_rows
    cdef int64_t column = u % column_parts * v.unit_cols
    cdef int64_t row = u // column_parts % row_parts * v.unit_rows
    cdef int64_t plane = u // column_parts // row_parts, i, j
    for i in range(v.outer - 1, -1, -1):
        x += plane % v.shape[i] * v.strides[i]
        plane //= v.shape[i]
    x += row * v.ld + column * v.inc
    m[0], n[0], ld[0] = min(v.unit_rows, v.rows - row), min(v.unit_cols, v.cols - column), v.ld
    if v.inc == 1:
        return x
    for i in range(m[0]):
        for j in range(n[0]):
            gathered[i * n[0] + j] = x[i * v.ld + j * v.inc]
    m[0], n[0] = 1, m[0] * n[0]
    return gathered


cdef inline void add(Total *total, double hi, double lo) noexcept nogil:
    """Add hi + lo to the total by Knuth's TwoSum."""
    cdef double s = total.hi + hi, part = s - total.hi
    total.lo += (total.hi - (s - part)) + (hi - part) + lo
    total.hi = s


cdef inline tuple real_arrays(object x, str op, int *typenum):
    """Return an array, or a list or tuple of arrays of one real type, as a tuple."""
    cdef tuple arrays
    cdef int i
    typenum[0] = cnp.NPY_FLOAT
    if not isinstance(x, (list, tuple)):
        typenum[0] = real_type(x, op, "x")
        return (x,)
    arrays = tuple(x)
    if arrays:
        typenum[0] = real_type(arrays[0], op, "x[0]")
    for i in range(1, len(arrays)):
        real_like(arrays[i], typenum[0], op, f"x[{i}]", "x[0]")
    return arrays
