"""Run a kernel that works on rows on arrays of any shape and strides.

Every function of this kind has one or two inputs and an output of the same type and shape, and
reads each element before it writes it, so that `out` may be an input. A leading axis order that has
no evenly spaced rows is copied.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

from .arrays cimport (
    OK, Rows, call_typed, check_in_place, check_status, finish_output, output_rows,
    real_type, shaped_like, with_rows,
)
from .memory cimport new_array

cnp.import_array()


cdef object over_rows(
    const RowKernel *kernel, const void *options, bint flat, str op, object x, str x_name,
    object other, str other_name, object out
):
    """Return the result of a kernel: `out` if it is not None, else a new array.

    The kernel has no second input if other_name is None. With `flat`, arrays without gaps count as
    one row, which threads can divide anywhere.
    """
    cdef int typenum = real_type(x, op, x_name)
    cdef Rows rx, ry, r
    cdef cnp.ndarray like = <cnp.ndarray>x, a = with_rows(like, &rx), b, y
    cdef RowCall c
    c.rows, c.cols, c.ldx, c.x = rx.rows, rx.cols, rx.ld, cnp.PyArray_DATA(a)
    c.other, c.ldother, c.ldy, c.options = NULL, rx.cols, rx.cols, options
    if out is None:
        y = new_array(cnp.PyArray_NDIM(like), cnp.PyArray_DIMS(like), typenum)
    else:
        y = output_rows(out, like, op, "out", x_name, &ry)
        c.ldy = ry.ld
        check_in_place(<cnp.ndarray>out, like, op, "out", x_name)
    c.y = cnp.PyArray_DATA(y)
    if other_name is not None:
        b = with_rows(shaped_like(other, like, op, other_name, x_name), &r)
        c.other, c.ldother = cnp.PyArray_DATA(b), r.ld
        if out is not None:
            check_in_place(<cnp.ndarray>out, <cnp.ndarray>other, op, "out", other_name)
    if flat and c.rows > 1 and c.ldx == c.cols and c.ldother == c.cols and c.ldy == c.cols:
        c.rows, c.cols = 1, c.rows * c.cols
    cdef bint release = c.rows * c.cols >= kernel.keep_gil
    cdef int64_t status = call_typed(typenum, release, kernel.f32, kernel.f64, &c, NULL)
    if status != OK:
        check_status(status, op)
    return y if out is None else finish_output(out, y)
