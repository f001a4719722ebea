"""Dense layers and activations in a row, y_i = act_i(y_(i-1) W_i + b_i) or act_i(y_(i-1)), in one call forward and one backward.

For small networks, where calling Python for each layer takes longer than its work. Each step calls the kernels that the layers call one by one (gemm.pyx,
activation.pyx, linear.pyx), with the same arguments, so the bits are the same, and so are contract and accuracy.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

import numpy as np

from ..rowwise.activation cimport activation_backward_f32, activation_backward_f64, activation_code, activation_f32, activation_f64, saves_output
from ..ground.arrays cimport NO_MEMORY, OK, check_status, real_type, stride
from ..ground.dispatch cimport FASTNN_ACT_NONE, real
from ..gemm.paths cimport gemm_f32, gemm_f64
from ..gemm.linear cimport linear_backward_f32, linear_backward_f64
from ..ground.memory cimport give, new_array, take

cnp.import_array()

cdef enum:
    MOST_STEPS = 64


cdef int step_forward(const Step *s, int64_t rows, const real *x, int64_t rsx, int64_t csx, real *y, real *preact) noexcept nogil:
    cdef int64_t n = rows * s.n_out
    if s.w is NULL:
        return activation_f32(s.activation, 1, n, x, n, y, n) if real is float else activation_f64(s.activation, 1, n, x, n, y, n)
    if real is float:
        return gemm_f32(rows, s.n_out, s.n_in, 1, x, rsx, csx, <const float*>s.w, s.n_out, 1, 0, y, s.n_out, 1, <const float*>s.b, s.activation, preact)
    else:
        return gemm_f64(rows, s.n_out, s.n_in, 1, x, rsx, csx, <const double*>s.w, s.n_out, 1, 0, y, s.n_out, 1, <const double*>s.b, s.activation, preact)


cdef int step_backward(const Step *s, int64_t rows, const real *dy, const real *x, int64_t rsx, int64_t csx, const real *saved, real *dx) noexcept nogil:
    cdef int64_t n = rows * s.n_out
    if s.w is NULL:
        if real is float:
            return activation_backward_f32(s.activation, 1, n, dy, n, saved, n, dx, n)
        else:
            return activation_backward_f64(s.activation, 1, n, dy, n, saved, n, dx, n)
    if real is float:
        return linear_backward_f32(rows, s.n_in, s.n_out, dy, x, rsx, csx, <const float*>s.w, s.n_out, 1, saved, s.activation, <float*>s.dw,
                                   <float*>s.db, dx)
    else:
        return linear_backward_f64(rows, s.n_in, s.n_out, dy, x, rsx, csx, <const double*>s.w, s.n_out, 1, saved, s.activation, <double*>s.dw,
                                   <double*>s.db, dx)


cdef bint keeps_preact(const Step *s) noexcept nogil:
    """Whether backward needs what the activation of this layer was applied to."""
    return s.w is not NULL and s.activation != FASTNN_ACT_NONE and not saves_output(s.activation)


cdef int64_t widest(int count, const Step *steps) noexcept nogil:
    cdef int64_t most = 0
    cdef int i
    for i in range(count):
        most = max(most, max(steps[i].n_in, steps[i].n_out))
    return most


cdef int forward(int count, const Step *steps, int64_t rows, const real *x, int64_t rsx, int64_t csx, real **outputs, real **preacts) noexcept nogil:
    cdef int i, status
    for i in range(count):
        status = step_forward(&steps[i], rows, x, rsx, csx, outputs[i], preacts[i])
        if status != OK:
            return status
        x, rsx, csx = outputs[i], steps[i].n_out, 1
    return OK


cdef int infer(int count, const Step *steps, int64_t rows, const real *x, int64_t rsx, int64_t csx, real *y) noexcept nogil:
    """Forward into y, the outputs between in two blocks of scratch by turns."""
    cdef real *outputs[MOST_STEPS]
    cdef real *preacts[MOST_STEPS]
    cdef int64_t size = rows * widest(count, steps)
    cdef int i, status
    cdef real *scratch = NULL
    if count > 1:
        scratch = <real*>take(2 * size * <int64_t>sizeof(real))
        if scratch is NULL:
            return NO_MEMORY
    for i in range(count):
        outputs[i] = y if i == count - 1 else scratch + (i % 2) * size
        preacts[i] = NULL
    status = forward(count, steps, rows, x, rsx, csx, outputs, preacts)
    give(scratch)
    return status


cdef int backward(int count, const Step *steps, int64_t rows, const real *dy, const real *x, int64_t rsx, int64_t csx, real **outputs, real **preacts,
                  real *dx) noexcept nogil:
    cdef int64_t size = rows * widest(count, steps)
    cdef const real *saved
    cdef const real *before
    cdef int i, status = OK
    cdef real *scratch = <real*>take(2 * size * <int64_t>sizeof(real))
    if scratch is NULL:
        return NO_MEMORY
    for i in range(count - 1, -1, -1):
        before = outputs[i - 1] if i > 0 else x
        saved = preacts[i] if preacts[i] is not NULL else outputs[i]
        if steps[i].w is NULL and not saves_output(steps[i].activation):
            saved = before
        status = step_backward(&steps[i], rows, dy, before, steps[i].n_in if i > 0 else rsx, 1 if i > 0 else csx, saved,
                               scratch + (i % 2) * size if i > 0 else dx)
        if status != OK:
            break
        dy = scratch + (i % 2) * size
    give(scratch)
    return status


cdef int stack_forward_f32(int count, const Step *steps, int64_t rows, const float *x, int64_t rsx, int64_t csx, float **outputs,
                           float **preacts) noexcept nogil:
    return forward(count, steps, rows, x, rsx, csx, outputs, preacts)


cdef int stack_forward_f64(int count, const Step *steps, int64_t rows, const double *x, int64_t rsx, int64_t csx, double **outputs,
                           double **preacts) noexcept nogil:
    return forward(count, steps, rows, x, rsx, csx, outputs, preacts)


cdef int stack_backward_f32(int count, const Step *steps, int64_t rows, const float *dy, const float *x, int64_t rsx, int64_t csx, float **outputs,
                            float **preacts, float *dx) noexcept nogil:
    return backward(count, steps, rows, dy, x, rsx, csx, outputs, preacts, dx)


cdef int stack_backward_f64(int count, const Step *steps, int64_t rows, const double *dy, const double *x, int64_t rsx, int64_t csx,
                            double **outputs, double **preacts, double *dx) noexcept nogil:
    return backward(count, steps, rows, dy, x, rsx, csx, outputs, preacts, dx)


cdef cnp.ndarray parameter(object array, tuple shape, str name):
    """An array of a layer that may be read, written and walked from its first element to its last."""
    real_type(array, "DenseStack", name)
    cdef cnp.ndarray x = <cnp.ndarray>array
    if np.shape(x) != shape or not cnp.PyArray_IS_C_CONTIGUOUS(x) or not cnp.PyArray_ISWRITEABLE(x):
        raise ValueError(f"DenseStack: {name} must be C-contiguous, writable and of shape {shape}, not {np.shape(x)}")
    return x


cdef class DenseStack:
    """Dense layers and activations in a row, ready to run.

    Parameters
    ----------
    steps : sequence
        Of ``(w, b, dw, db, activation)``, the arrays of a layer ``act(x @ w + b)`` and of its gradients, or of ``(activation,)``. The first is a layer; b and
        db may be None. The arrays are not copied: the stack sees what is written into them, and backward adds to dw and db.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or the types differ.
    ValueError
        If shapes do not fit, an array is not C-contiguous or read-only, an activation is unknown, or there are no steps, or more than 64.
    """
    cdef Step *steps
    cdef readonly int count
    cdef int typenum
    cdef tuple kept             # the arrays that the pointers point into

    def __cinit__(self, steps):
        cdef cnp.ndarray w, array
        cdef Step *s
        cdef int64_t width = -1
        self.count = len(steps)
        if not 1 <= self.count <= MOST_STEPS:
            raise ValueError(f"DenseStack: from 1 to {MOST_STEPS} steps, not {self.count}")
        self.steps = <Step*>calloc(self.count, sizeof(Step))
        if self.steps is NULL:
            raise MemoryError("DenseStack: no memory")
        self.kept = tuple(map(tuple, steps))
        for i, step in enumerate(self.kept):
            s = &self.steps[i]
            s.activation = activation_code(step[len(step) - 1], "DenseStack")
            if len(step) == 1:
                if i == 0 or s.activation == FASTNN_ACT_NONE:
                    raise ValueError("DenseStack: an activation has a name and stands after a layer")
                s.n_in = s.n_out = width
                continue
            if i == 0:
                self.typenum = real_type(step[0], "DenseStack", "w")
            if np.ndim(step[0]) != 2:
                raise ValueError(f"DenseStack: w must be (in, out), not {np.shape(step[0])}")
            w = parameter(step[0], np.shape(step[0]), "w")
            s.n_in, s.n_out = cnp.PyArray_DIM(w, 0), cnp.PyArray_DIM(w, 1)
            if i > 0 and s.n_in != width:
                raise ValueError(f"DenseStack: step {i} takes {s.n_in} columns, but the one before gives {width}")
            width = s.n_out
            s.w = cnp.PyArray_DATA(w)
            s.dw = cnp.PyArray_DATA(parameter(step[2], np.shape(w), "dw"))
            if step[1] is not None:
                s.b = cnp.PyArray_DATA(parameter(step[1], (width,), "b"))
                s.db = cnp.PyArray_DATA(parameter(step[3], (width,), "db"))
            for array in step[:4]:
                if array is not None and cnp.PyArray_TYPE(array) != self.typenum:
                    raise TypeError("DenseStack: all arrays must be of one type")

    def __dealloc__(self):
        free(self.steps)

    cdef bint takes(self, object x) noexcept:
        """Whether x is (rows, n_in) of the type of the weights."""
        if not cnp.PyArray_Check(x) or cnp.PyArray_NDIM(<cnp.ndarray>x) != 2 or cnp.PyArray_TYPE(<cnp.ndarray>x) != self.typenum:
            return False
        return cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>x) and cnp.PyArray_DIM(<cnp.ndarray>x, 1) == self.steps[0].n_in

    cdef void *kept_data(self, object array, int64_t rows, int64_t width) except NULL:
        """Where the elements of an array of a context are, which must be one that `forward` makes for a step of this width."""
        if cnp.PyArray_Check(array) and cnp.PyArray_TYPE(<cnp.ndarray>array) == self.typenum and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>array):
            if (cnp.PyArray_NDIM(<cnp.ndarray>array) == 2 and cnp.PyArray_DIM(<cnp.ndarray>array, 0) == rows
                    and cnp.PyArray_DIM(<cnp.ndarray>array, 1) == width):
                return cnp.PyArray_DATA(<cnp.ndarray>array)
        raise ValueError(f"DenseStack: ctx is not of this stack: an array of shape {np.shape(array)} where it keeps {(rows, width)}")

    cdef cnp.ndarray output(self, int64_t rows, int64_t width):
        cdef cnp.npy_intp shape[2]
        shape[0], shape[1] = rows, width
        return new_array(2, shape, self.typenum)

    def infer(self, x):
        """The output for x, or None where x is not an array (rows, in) of the type of the weights."""
        if not self.takes(x):
            return None
        cdef cnp.ndarray a = <cnp.ndarray>x, y = self.output(cnp.PyArray_DIM(a, 0), self.steps[self.count - 1].n_out)
        cdef int64_t rows = cnp.PyArray_DIM(a, 0), rsx = stride(a, 0), csx = stride(a, 1)
        cdef void *px = cnp.PyArray_DATA(a)
        cdef void *py = cnp.PyArray_DATA(y)
        cdef int status
        with nogil:
            if self.typenum == cnp.NPY_FLOAT:
                status = infer(self.count, self.steps, rows, <float*>px, rsx, csx, <float*>py)
            else:
                status = infer(self.count, self.steps, rows, <double*>px, rsx, csx, <double*>py)
        check_status(status, "DenseStack")
        return y

    def forward(self, x):
        """(output, context for `backward`), or None where x is not an array (rows, in) of the type of the weights.

        The context is a tuple of arrays: x, the output of every step, and what activations were applied to, or None, for every step.
        """
        if not self.takes(x):
            return None
        cdef cnp.ndarray a = <cnp.ndarray>x, array
        cdef int64_t rows = cnp.PyArray_DIM(a, 0), rsx = stride(a, 0), csx = stride(a, 1)
        cdef void *outputs[MOST_STEPS]
        cdef void *preacts[MOST_STEPS]
        cdef void *px = cnp.PyArray_DATA(a)
        cdef Step *s
        cdef int i, status
        cdef list made = [x], saved = []
        for i in range(self.count):
            s = &self.steps[i]
            array = self.output(rows, s.n_out)
            outputs[i], preacts[i] = cnp.PyArray_DATA(array), NULL
            made.append(array)
            if keeps_preact(s):
                array = self.output(rows, s.n_out)
                preacts[i] = cnp.PyArray_DATA(array)
                saved.append(array)
            else:
                saved.append(None)
        with nogil:
            if self.typenum == cnp.NPY_FLOAT:
                status = forward(self.count, self.steps, rows, <float*>px, rsx, csx, <float**>outputs, <float**>preacts)
            else:
                status = forward(self.count, self.steps, rows, <double*>px, rsx, csx, <double**>outputs, <double**>preacts)
        check_status(status, "DenseStack")
        return made[self.count], tuple(made + saved)

    def backward(self, dy, tuple ctx, bint need_dx=True):
        """Add to the gradients of all layers; the gradient of x, or None unless need_dx. dy is left unchanged.

        Raises
        ------
        TypeError
            If dy is not an array of the type of the weights.
        ValueError
            If dy has not the shape of the output, or ctx is not of this stack.
        """
        cdef void *outputs[MOST_STEPS]
        cdef void *preacts[MOST_STEPS]
        cdef void *pdx = NULL
        cdef Step *s = &self.steps[0]
        cdef int i, status
        if len(ctx) != 2 * self.count + 1 or not self.takes(ctx[0]):
            raise ValueError("DenseStack: ctx is not of this stack")
        if real_type(dy, "DenseStack", "dy") != self.typenum:
            raise TypeError(f"DenseStack: dy is of {dy.dtype}, but the weights are not")
        cdef cnp.ndarray x = <cnp.ndarray>ctx[0], d = cnp.PyArray_GETCONTIGUOUS(<cnp.ndarray>dy), dx = None
        cdef int64_t rows = cnp.PyArray_DIM(x, 0), rsx = stride(x, 0), csx = stride(x, 1)
        for i in range(self.count):
            s = &self.steps[i]
            outputs[i], preacts[i] = self.kept_data(ctx[i + 1], rows, s.n_out), NULL
            if keeps_preact(s):
                preacts[i] = self.kept_data(ctx[self.count + 1 + i], rows, s.n_out)
            elif ctx[self.count + 1 + i] is not None:
                raise ValueError(f"DenseStack: ctx is not of this stack: step {i} needs its output alone")
        if cnp.PyArray_NDIM(d) != 2 or cnp.PyArray_DIM(d, 0) != rows or cnp.PyArray_DIM(d, 1) != s.n_out:
            raise ValueError(f"DenseStack: dy has shape {np.shape(d)}, but the output of this forward pass had {(rows, s.n_out)}")
        cdef void *px = cnp.PyArray_DATA(x)
        cdef void *pdy = cnp.PyArray_DATA(d)
        if need_dx:
            dx = self.output(rows, self.steps[0].n_in)
            pdx = cnp.PyArray_DATA(dx)
        with nogil:
            if self.typenum == cnp.NPY_FLOAT:
                status = backward(self.count, self.steps, rows, <float*>pdy, <float*>px, rsx, csx, <float**>outputs, <float**>preacts, <float*>pdx)
            else:
                status = backward(self.count, self.steps, rows, <double*>pdy, <double*>px, rsx, csx, <double**>outputs, <double**>preacts,
                                  <double*>pdx)
        check_status(status, "DenseStack")
        return dx
