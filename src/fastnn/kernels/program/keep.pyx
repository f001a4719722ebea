"""Programs over the layers' own arrays: small networks in one call forward and one backward.

For networks where calling Python for each layer takes longer than its work. Every operation calls
the kernel that its layer calls, with the same arguments, so the bits, the contract and the accuracy
are those of the layers one by one. Forward keeps the output of each operation for backward.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t

import numpy as np

from ..gemm.linear cimport linear_backward_store
from ..ground.arrays cimport (NO_MEMORY, OK, call_typed, check_status, is_plain, real_type,
                              stride)
from ..ground.dispatch cimport FASTNN_ACT_NONE, real
from ..ground.memory cimport give, new_array, take
from ..ground.scalars cimport flag
from ..ground.scalars import given
from ..rowwise.activation cimport activation_backward_real
from ..rowwise.activation_table cimport saves_output
from .ops cimport ACTIVATION, DENSE, INPUT, MOST_KEPT, Frame, Op, Record
from .record cimport Recorder
from .run cimport run_frame, run_ops

cnp.import_array()


cdef int op_backward(const Op *op, const Frame *f, const real *dy, const real *saved,
                     real *dx, bint store_dw) noexcept nogil:
    cdef int64_t n = f.rows * op.n_out
    cdef int64_t rsx = f.rsx if op.x == INPUT else op.n_in, csx = f.csx if op.x == INPUT else 1
    if op.kind == ACTIVATION:
        return activation_backward_real(op.activation, 1, n, dy, n, saved, n, dx, n)
    return linear_backward_store(f.rows, op.n_in, op.n_out, dy,
                                <const real*>f.at[op.x], rsx, csx,
                                <const real*>op.weight, op.rsw, op.csw, saved, op.activation,
                                <real*>op.dweight, <real*>op.dbias, dx, store_dw)


cdef bint keeps_preact(const Op *op) noexcept nogil:
    """True if backward needs what the activation of this layer was applied to."""
    return (op.kind == DENSE and op.activation != FASTNN_ACT_NONE
            and not saves_output(op.activation))


cdef int backward(const Record *p, const Frame *f, const real *dy, real *dx,
                  const bint *store_dw) noexcept nogil:
    """The operations from last to first; gradients in between alternate between two blocks."""
    cdef int64_t size = 0
    cdef const Op *op
    cdef const real *saved
    cdef int i, status = OK
    cdef real *scratch
    cdef real *target
    for i in range(p.count):
        size = max(size, f.rows * max(p.ops[i].n_in, p.ops[i].n_out))
    scratch = <real*>take(2 * size * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    for i in range(p.count - 1, -1, -1):
        op = &p.ops[i]
        if keeps_preact(op):
            saved = <const real*>f.preacts[i]
        elif op.kind == ACTIVATION and not saves_output(op.activation):
            saved = <const real*>f.at[op.x]
        else:
            saved = <const real*>f.at[op.y]
        target = scratch + (i % 2) * size if i > 0 else dx
        status = op_backward(op, f, dy, saved, target, store_dw[i])
        if status != OK:
            break
        dy = target
    give(scratch)
    return status


cdef class Program:
    """A network that runs on its layers' own arrays.

    Parameters
    ----------
    builder : Builder
        What the layers were lowered to: operations on rows alone. Weights are not copied: the
        program sees what is written into them, and backward adds to their gradients.

    Attributes
    ----------
    count : int
        Operations.
    trains : bool
        Whether there are `forward` and `backward`: all operations are dense layers and
        activations, one after the other, at most 64, the first is a dense layer, and nothing is
        dropped.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or the types differ.
    ValueError
        If an array is not C-contiguous or read-only, an activation is unknown, an operation is not
        by rows, or too many values are needed at once.

    Examples
    --------
    >>> model = nn.MLP((3, 4, 2), rng=0)
    >>> y, ctx = model.forward(np.ones((5, 3), np.float32))  # a program, made on first use
    >>> y.shape
    (5, 2)
    """
    cdef Recorder recorder
    cdef readonly int count
    cdef readonly bint trains
    cdef object __weakref__
    cdef bint strided               # the input is read by a product alone, which takes any strides

    def __cinit__(self, builder):
        cdef const Record *p
        cdef const Op *op
        cdef int i, before = INPUT
        self.recorder = Recorder(builder, True, True)
        p = self.recorder.record
        if p.sequences:
            raise ValueError("Program: an operation is not by rows")
        self.count = p.count
        self.strided = p.ops[0].kind == DENSE
        self.trains = self.strided and p.count <= MOST_KEPT and not builder.drops
        for i in range(p.count):
            op = &p.ops[i]
            if op.x != before or op.kind > ACTIVATION or (op.kind == DENSE and op.dweight is NULL):
                self.trains = False
            if i > 0 and (op.x == INPUT or op.residual == INPUT):
                self.strided = False
            before = op.y

    def __reduce__(self):
        raise TypeError("a Program cannot be pickled or copied: it runs on the arrays of its "
                        "layers; pickle the model, which makes its program again")

    cdef bint takes(self, object x) noexcept:
        """True if x is (rows, n_in) of the type of the weights."""
        cdef cnp.ndarray a
        if not is_plain(x):
            return False
        a = <cnp.ndarray>x
        if cnp.PyArray_NDIM(a) != 2 or cnp.PyArray_TYPE(a) != self.recorder.typenum:
            return False
        if not cnp.PyArray_ISBEHAVED_RO(a) or cnp.PyArray_DIM(a, 1) != self.recorder.record.n_in:
            return False
        return self.strided or cnp.PyArray_IS_C_CONTIGUOUS(a)

    cdef cnp.ndarray output(self, int64_t rows, int64_t width):
        cdef cnp.npy_intp[2] shape = [rows, width]
        return new_array(2, shape, self.recorder.typenum)

    cdef void *kept_data(self, object array, int64_t rows, int64_t width) except NULL:
        """The elements of an array of a context, if `forward` makes such a one."""
        cdef cnp.ndarray a
        if cnp.PyArray_Check(array):
            a = <cnp.ndarray>array
            if (cnp.PyArray_TYPE(a) == self.recorder.typenum and cnp.PyArray_ISCARRAY_RO(a)
                    and cnp.PyArray_NDIM(a) == 2 and cnp.PyArray_DIM(a, 0) == rows
                    and cnp.PyArray_DIM(a, 1) == width):
                return cnp.PyArray_DATA(a)
        raise ValueError(f"Program: ctx is not of this program: an array of shape "
                         f"{np.shape(array)} where it keeps {(rows, width)}")

    def infer(self, x):
        """The output for x, or None where x is not (rows, in) of the type of the weights."""
        cdef Frame f
        cdef cnp.ndarray a, y
        cdef const Record *p = self.recorder.record
        cdef int status
        if not self.takes(x):
            return None
        a = <cnp.ndarray>x
        f.rows, f.rsx, f.csx = cnp.PyArray_DIM(a, 0), stride(a, 0), stride(a, 1)
        f.preacts, f.sequences = NULL, NULL
        y = self.output(f.rows, p.n_out)
        cdef void *px = cnp.PyArray_DATA(a)
        cdef void *py = cnp.PyArray_DATA(y)
        with nogil:
            status = run_frame(p, &f, px, py)
        check_status(status, "Program")
        return y

    def forward(self, x):
        """(output, context for `backward`), or None where `trains` is False or x does not fit.

        The context is a tuple of arrays: x, the output of every operation, and what activations
        were applied to, or None, for every operation.
        """
        cdef Frame f
        cdef void *preacts[MOST_KEPT]
        cdef cnp.ndarray a, array
        cdef const Record *p = self.recorder.record
        cdef const Op *op
        cdef int i, status
        cdef list made = [x], saved = []
        if not self.trains or not self.takes(x):
            return None
        a = <cnp.ndarray>x
        f.rows, f.rsx, f.csx = cnp.PyArray_DIM(a, 0), stride(a, 0), stride(a, 1)
        f.preacts, f.sequences = preacts, NULL
        f.at[INPUT] = cnp.PyArray_DATA(a)
        for i in range(p.count):
            op = &p.ops[i]
            array = self.output(f.rows, op.n_out)
            f.at[op.y], preacts[i] = cnp.PyArray_DATA(array), NULL
            made.append(array)
            if keeps_preact(op):
                array = self.output(f.rows, op.n_out)
                preacts[i] = cnp.PyArray_DATA(array)
                saved.append(array)
            else:
                saved.append(None)
        with nogil:
            status = run_ops(p, 0, p.count, &f)
        check_status(status, "Program")
        return made[p.count], tuple(made + saved)

    cdef int read_context(self, tuple ctx, Frame *f, void **preacts) except -1:
        """The frame of the forward pass that made a context."""
        cdef const Record *p = self.recorder.record
        cdef const Op *op
        cdef cnp.ndarray x
        cdef int i
        if not self.trains or len(ctx) != 2 * p.count + 1 or not self.takes(ctx[0]):
            raise ValueError("Program: ctx is not of this program")
        x = <cnp.ndarray>ctx[0]
        f.rows, f.rsx, f.csx = cnp.PyArray_DIM(x, 0), stride(x, 0), stride(x, 1)
        f.at[INPUT], f.preacts, f.sequences = cnp.PyArray_DATA(x), preacts, NULL
        for i in range(p.count):
            op = &p.ops[i]
            f.at[op.y] = self.kept_data(ctx[i + 1], f.rows, op.n_out)
            if keeps_preact(op):
                preacts[i] = self.kept_data(ctx[p.count + 1 + i], f.rows, op.n_out)
            elif ctx[p.count + 1 + i] is not None:
                raise ValueError(f"Program: ctx is not of this program: operation {i} needs its "
                                 "output alone")
        return 0

    cdef list choose_stores(self, bint *stores):
        """Choose the operations whose gradient of the weight is stored, the first of each."""
        cdef int i
        cdef list found = []
        for i in range(self.recorder.record.count - 1, -1, -1):
            weight = self.recorder.parameters[i]
            stores[i] = False
            if weight is None or any([weight is other for other in found]):
                continue
            stores[i] = weight.to_store()[1]
            if stores[i]:
                found.append(weight)
        return found

    def backward(self, dy, ctx, need_dx=True):
        """Add to the gradients of all layers; the gradient of x, or None unless need_dx.

        dy is left unchanged.

        Raises
        ------
        TypeError
            If dy is not an array of the type of the weights.
        ValueError
            If dy has not the shape of the output, or ctx is not of this program.
        """
        cdef Frame f
        cdef void *preacts[MOST_KEPT]
        cdef const Record *p = self.recorder.record
        cdef cnp.ndarray d, dx = None
        cdef void *pdx = NULL
        cdef bint stores[MOST_KEPT]
        cdef int status
        cdef bint wants_dx = flag(need_dx, "Program", "need_dx")
        if not isinstance(ctx, tuple):
            raise TypeError("Program: ctx must be the tuple that forward returned, "
                            f"got {given(ctx)}")
        self.read_context(<tuple>ctx, &f, preacts)
        if real_type(dy, "Program", "dy") != self.recorder.typenum:
            raise TypeError(f"Program: dy is of {dy.dtype}, but the weights are not")
        d = cnp.PyArray_GETCONTIGUOUS(<cnp.ndarray>dy)
        if (cnp.PyArray_NDIM(d) != 2 or cnp.PyArray_DIM(d, 0) != f.rows
                or cnp.PyArray_DIM(d, 1) != p.n_out):
            raise ValueError(f"Program: dy has shape {np.shape(d)}, but the output of the forward "
                             f"pass that returned this ctx had {(f.rows, p.n_out)}")
        if wants_dx:
            dx = self.output(f.rows, p.n_in)
            pdx = cnp.PyArray_DATA(dx)
        cdef list stored = self.choose_stores(stores)
        status = call_typed(self.recorder.typenum, True, backward[float], backward[double], p, &f,
                            cnp.PyArray_DATA(d), pdx, stores)
        check_status(status, "Program")
        for weight in stored:
            weight.stored()
        return dx
