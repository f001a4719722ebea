"""Backward pass of an affine layer y = act(x w + b), one example per row.

x (n, in), w (in, out), b (out,); *Dive into Deep Learning*, section 5.3.

    dz = dy * act'      dw += x^T dz      db += sum over rows of dz      dx = dz w^T

With an activation, dz goes to scratch, or overwrites dy if the caller permits; without one, dz is
dy. dz and its column sums are computed in one pass. The sums run over blocks of ROWS rows and are
added in order, so the bits do not depend on the number of threads; the sums of more than 1,024
blocks are summed 1,024 at a time. Accuracy: that of the products (paths.pyx) and of the
activation's derivative (rowwise/activation.pyx). Overlaps are checked before anything is stored.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..rowwise.activation cimport activation_code, team_for
from ..rowwise.activation_table cimport saves_output
from ..ground.arrays cimport (BAD_ARGUMENT, NO_MEMORY, OK, call_typed, check_contiguous,
                              check_overlap, check_status, is_output, real_like, real_type,
                              refuse_output, refuse_shape, same_shape, shaped_like, stride)
from ..ground.dispatch cimport FASTNN_ACT_NONE, FASTNN_ACT_LAST, activation_backward_block, real
from .loops cimport STRIDED, Product
from .paths cimport multiply
from ..ground.memory cimport give, new_array, take
from ..ground.overlap cimport run_overlaps
from ..ground.scalars cimport flag
from ..ground.sums cimport add_rows
from ..ground.threads cimport run_team, share

cnp.import_array()

cdef enum:
    ROWS = 64           # rows of dz in each partial sum of the bias gradient


cdef void dz_share(
    int team, int thread, int64_t n, int64_t n_out, const real *dy, const real *saved,
    int activation, real *dz, real *sums
) noexcept nogil:
    """Compute this thread's blocks of dz = dy * act' (n, n_out), and the column sums of each.

    dz or sums may be NULL.
    """
    cdef int64_t i, at, first, last
    cdef const real *saved_block = NULL
    cdef real *dz_block = NULL
    cdef real *sums_row = NULL
    share((n + ROWS - 1) // ROWS, team, thread, &first, &last)
    for i in range(first, last):
        at = i * ROWS * n_out
        if saved is not NULL:
            saved_block = saved + at
        if dz is not NULL:
            dz_block = dz + at
        if sums is not NULL:
            sums_row = sums + i * n_out
        activation_backward_block(activation, min(<int64_t>ROWS, n - i * ROWS), n_out, dy + at,
                                  n_out, saved_block, n_out, dz_block, n_out, sums_row, False)


cdef bint on_an_input(const real *out, int64_t size, int64_t n, int64_t n_in, int64_t n_out,
                      const real *dy, const real *x, int64_t rsx, int64_t csx, const real *w,
                      int64_t rsw, int64_t csw, const real *saved) noexcept nogil:
    """True if out, `size` reals in a row or NULL, shares memory with an input."""
    return (run_overlaps(out, size, dy, n, n_out, n_out, 1)
            or run_overlaps(out, size, saved, n, n_out, n_out, 1)
            or run_overlaps(out, size, x, n, n_in, rsx, csx)
            or run_overlaps(out, size, w, n_in, n_out, rsw, csw))


cdef inline int product(int64_t m, int64_t n, int64_t k, const real *a, int64_t rsa, int64_t csa,
                        const real *b, int64_t rsb, int64_t csb, double beta,
                        real *c) noexcept nogil:
    """Compute c = a b + beta c for a C-contiguous c; the caller has checked overlaps."""
    cdef Product g = Product(m, n, k, a, rsa, csa, b, rsb, csb, c, n, 1, 1, beta, NULL, 1,
                             FASTNN_ACT_NONE, NULL, STRIDED)
    return multiply(&g, a)


cdef int run(
    int64_t n, int64_t n_in, int64_t n_out, const real *dy, const real *x, int64_t rsx, int64_t csx,
    const real *w, int64_t rsw, int64_t csw, const real *saved, int activation, real *dw, real *db,
    real *dx, real *over, bint store_dw
) noexcept nogil:
    """Check the arguments and compute the gradients. over is dy if dz may overwrite it, or NULL."""
    cdef int64_t blocks = (n + ROWS - 1) // ROWS
    cdef bint plain = activation == FASTNN_ACT_NONE
    cdef int64_t for_dz = 0 if plain or over is not NULL else n * n_out
    cdef real *place
    cdef real *scratch
    cdef real *sums
    cdef const real *dz
    cdef int status = OK
    if n < 0 or n_in < 0 or n_out < 0 or dy is NULL or x is NULL or w is NULL:
        return BAD_ARGUMENT
    if (activation < FASTNN_ACT_NONE
            or activation > FASTNN_ACT_LAST
            or (saved is NULL and not plain)):
        return BAD_ARGUMENT
    if (on_an_input(dw, n_in * n_out, n, n_in, n_out, dy, x, rsx, csx, w, rsw, csw, saved)
            or on_an_input(db, n_out, n, n_in, n_out, dy, x, rsx, csx, w, rsw, csw, saved)
            or on_an_input(dx, n * n_in, n, n_in, n_out, dy, x, rsx, csx, w, rsw, csw, saved)
            or run_overlaps(dw, n_in * n_out, db, 1, n_out, n_out, 1)
            or run_overlaps(dx, n * n_in, dw, n_in, n_out, n_out, 1)
            or run_overlaps(dx, n * n_in, db, 1, n_out, n_out, 1)):
        return BAD_ARGUMENT
    scratch = <real*>take((for_dz + blocks * n_out) * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    place = NULL if plain else scratch if over is NULL else over
    dz = dy if plain else place
    sums = NULL if db is NULL else scratch + for_dz
    if place is not NULL or sums is not NULL:
        run_team(
            team_for(activation, True, n, n_out), dz_share[real], n, n_out, dy, saved, activation,
            place, sums
        )
    if dx is not NULL:
        status = product(n, n_in, n_out, dz, n_out, 1, w, csw, rsw, 0, dx)
    if status == OK and dw is not NULL:
        status = product(n_in, n_out, n, x, csx, rsx, dz, n_out, 1, 0 if store_dw else 1, dw)
    if status == OK and db is not NULL:     # last: a failure above has added nothing
        add_rows(blocks, n_out, sums, n_out, db)
    give(scratch)
    return status


cdef int linear_backward_real(
    int64_t n, int64_t n_in, int64_t n_out, const real *dy, const real *x, int64_t rsx, int64_t csx,
    const real *w, int64_t rsw, int64_t csw, const real *saved, int activation, real *dw, real *db,
    real *dx
) noexcept nogil:
    if dw is NULL:
        return BAD_ARGUMENT
    return run(n, n_in, n_out, dy, x, rsx, csx, w, rsw, csw, saved, activation, dw, db, dx, NULL,
               False)


cdef int linear_backward_store(
    int64_t n, int64_t n_in, int64_t n_out, const real *dy, const real *x, int64_t rsx, int64_t csx,
    const real *w, int64_t rsw, int64_t csw, const real *saved, int activation, real *dw, real *db,
    real *dx, bint store_dw
) noexcept nogil:
    return run(n, n_in, n_out, dy, x, rsx, csx, w, rsw, csw, saved, activation, dw, db, dx, NULL,
               store_dw)


cdef cnp.ndarray accumulator(object g, int typenum, str name):
    """Return a gradient that is added to; it must have dy's type, be writable and C-contiguous."""
    cdef cnp.ndarray array = real_like(g, typenum, "linear_backward", name, "dy")
    if not cnp.PyArray_ISWRITEABLE(array):
        refuse_output(array, "linear_backward", name)
    check_contiguous(array, "linear_backward", name)
    return array


cdef cnp.ndarray saved_array(object saved, cnp.ndarray dy, object activation, str name):
    """Return the array that the activation's derivative reads; it must be like dy."""
    if saved is None:
        what = "the output of the layer" if name == "y" else "what the activation was applied to"
        raise ValueError(f"linear_backward: activation {activation!r} needs {name}, {what}")
    return shaped_like(saved, dy, "linear_backward", name, "dy")


cdef int check_shapes(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray w, object dw) except -1:
    """Raise ValueError unless the shapes are (N, out), (N, in), (in, out) and (in, out)."""
    if (dy.ndim != 2 or x.ndim != 2 or w.ndim != 2
            or np.shape(dy) != (np.shape(x)[0], np.shape(w)[1])
            or np.shape(x)[1] != np.shape(w)[0]):
        raise ValueError(f"linear_backward: shapes of dy {np.shape(dy)}, x {np.shape(x)} and "
                         f"w {np.shape(w)} are not (N, out), (N, in), (in, out)")
    if dw is not None and not same_shape(<cnp.ndarray>dw, w):
        refuse_shape(dw, w, "linear_backward", "dw", "w")
    return 0


cdef int check_apart(list outputs, list operands) except -1:
    """Raise ValueError if an output overlaps an operand; both are (name, array)."""
    for name, array in outputs:
        for other, operand in operands:
            check_overlap(array, operand, "linear_backward", name, other)
    return 0


def linear_backward(
    dy, x, w, *, dw=None, db=None, y=None, preact=None, activation=None, need_dx=True,
    overwrite_dy=False, store_dw=False
):
    """Add to the gradients of w and b in ``y = act(x @ w + b)``, and return that of x.

    Parameters
    ----------
    dy : ndarray of float32 or float64, shape (N, out)
        Gradient of y. Unchanged unless overwrite_dy.
    x : ndarray, shape (N, in)
    w : ndarray, shape (in, out)
    dw : ndarray, shape (in, out), C-contiguous, optional
        ``x.T @ dz`` is added to it, with dz = dy * act'(x w + b); None skips that product.
    db : ndarray, shape (out,), optional
        The column sums of dz are added to it.
    y : ndarray, shape (N, out)
        Output of the layer. Required if `kernels.ACTIVATIONS` says that backward reads the output,
        as for "relu".
    preact : ndarray, shape (N, out)
        ``x @ w + b``, the input of the activation. Required for the other activations.
    activation : str or None
        A name of `kernels.ACTIVATIONS`, such as "relu" or "gelu".
    need_dx : bool
        False skips the product for dx, which the first layer of a model does not need.
    overwrite_dy : bool
        Allow dz to overwrite dy, which saves an array of that size. dy must then not overlap
        another argument.
    store_dw : bool
        Store the gradient of w in dw, which is not read, instead of adding it.

    Returns
    -------
    ndarray of shape (N, in), or None
        ``dz @ w.T``; None unless need_dx.

    Raises
    ------
    TypeError
        If an argument is not an array of float32 or float64, or the types differ.
    ValueError
        If shapes do not fit, y or preact is missing, or dw or db is read-only, not contiguous, or
        overlaps another argument. Nothing is changed then.

    Examples
    --------
    >>> x, w, dy = np.float32([[1, 2]]), np.eye(2, dtype=np.float32), np.float32([[1, 3]])
    >>> dw, db = np.zeros((2, 2), np.float32), np.zeros(2, np.float32)
    >>> fastnn.linear_backward(dy, x, w, dw=dw, db=db)
    array([[1., 3.]], dtype=float32)
    >>> dw, db
    (array([[1., 3.],
           [2., 6.]], dtype=float32), array([1., 3.], dtype=float32))
    """
    cdef int typenum = real_type(dy, "linear_backward", "dy")
    cdef int act = activation_code(activation, "linear_backward")
    cdef cnp.ndarray a = <cnp.ndarray>dy, xs = real_like(x, typenum, "linear_backward", "x", "dy")
    cdef cnp.ndarray ws = real_like(w, typenum, "linear_backward", "w", "dy")
    cdef cnp.ndarray gw = None, saved, gb, dx = None
    cdef void *pw = NULL, *pb = NULL, *psaved = NULL, *pdx = NULL
    cdef list gradients = []
    if dw is not None:
        gw = accumulator(dw, typenum, "dw")
        gradients.append(("dw", gw))
        pw = cnp.PyArray_DATA(gw)
    cdef cnp.npy_intp shape[2]
    check_shapes(a, xs, ws, gw)
    shape[0], shape[1] = cnp.PyArray_DIM(xs, 0), cnp.PyArray_DIM(xs, 1)
    if db is not None:
        gb = accumulator(db, typenum, "db")
        if np.shape(gb) != (np.shape(ws)[1],):
            raise ValueError(f"linear_backward: db must have the shape ({np.shape(ws)[1]},) of a "
                             f"row of w, got {np.shape(gb)}")
        if gw is not None:
            check_overlap(gb, gw, "linear_backward", "db", "dw")
        gradients.append(("db", gb))
        pb = cnp.PyArray_DATA(gb)
    operands = [("dy", a), ("x", xs), ("w", ws)]
    if act != FASTNN_ACT_NONE:
        saved_name = "y" if saves_output(act) else "preact"
        saved = saved_array(y if saves_output(act) else preact, a, activation, saved_name)
        operands.append((saved_name, saved))
    check_apart(gradients, operands)
    cdef bint over_dy = flag(overwrite_dy, "linear_backward", "overwrite_dy")
    cdef bint wants_dx = flag(need_dx, "linear_backward", "need_dx")
    cdef bint stores = flag(store_dw, "linear_backward", "store_dw")
    if over_dy:
        check_apart([("dy", a)], operands[1:])
    if act != FASTNN_ACT_NONE:
        saved = cnp.PyArray_GETCONTIGUOUS(saved)
        psaved = cnp.PyArray_DATA(saved)
    a = cnp.PyArray_GETCONTIGUOUS(a)
    if wants_dx:
        dx = new_array(2, shape, typenum)
        pdx = cnp.PyArray_DATA(dx)
    cdef int64_t rsx = stride(xs, 0), csx = stride(xs, 1), rsw = stride(ws, 0), csw = stride(ws, 1)
    cdef int64_t n_out = cnp.PyArray_DIM(ws, 1)
    cdef void *pdy = cnp.PyArray_DATA(a)
    cdef void *over = pdy if over_dy and is_output(a) else NULL
    check_status(
        call_typed(
            typenum, True, run[float], run[double], shape[0], shape[1], n_out, pdy,
            cnp.PyArray_DATA(xs), rsx, csx, cnp.PyArray_DATA(ws), rsw, csw, psaved, act,
            pw, pb, pdx, over, stores
        ), "linear_backward"
    )
    return dx
