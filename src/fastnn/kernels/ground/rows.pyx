"""Run a kernel that works on rows on arrays of any shape and strides.

Every function of this kind has one or two inputs and an output of the same type and shape, and
reads each element before it writes it, so that `out` may be an input. A leading axis order that has
no evenly spaced rows is copied.
"""
cimport numpy as cnp

from .arrays cimport (
    Rows, call_typed, check_in_place, check_status, data_of, finish_output, output_rows,
    real_type, shaped_like, with_rows,
)

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
    cdef Rows rx, rb, ry
    cdef cnp.ndarray like = <cnp.ndarray>x, second = None, a = with_rows(like, &rx), b = None
    rb.ld = rx.cols
    if other_name is not None:
        second = shaped_like(other, like, op, other_name, x_name)
        b = with_rows(second, &rb)
    cdef cnp.ndarray y = output_rows(out, like, op, "out", x_name, &ry)
    if out is not None:
        check_in_place(<cnp.ndarray>out, like, op, "out", x_name)
        if second is not None:
            check_in_place(<cnp.ndarray>out, second, op, "out", other_name)
    cdef RowCall c = RowCall(
        rx.rows, rx.cols, data_of(a), rx.ld, data_of(b), rb.ld, data_of(y), ry.ld, options
    )
    if flat and rx.rows > 1 and rx.ld == rx.cols and rb.ld == rx.cols and ry.ld == rx.cols:
        c.rows, c.cols = 1, c.rows * c.cols
    check_status(
        call_typed(typenum, c.rows * c.cols >= kernel.keep_gil, kernel.f32, kernel.f64, &c, NULL), op
    )
    return finish_output(out, y)
