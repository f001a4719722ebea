"""A frozen model as an object: weights copied and packed, work space laid out. plan_run.pyx runs it."""
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
cimport numpy as cnp
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy

import numpy as np

from .activation cimport activation_code
from .arrays cimport check_overlap, check_status, is_output, real_like, real_type, refuse_output, stride
from .dispatch cimport real, tile_rows
from .gemm_loops cimport Blocks, Product, ceil_div, choose_blocks, pack_whole, packed_size
from .memory cimport new_array, take
from .plan_run cimport FEW_ROWS, SOFTMAX, STACK, STRIP, Layer, Record, describe, plan_release, plan_retain, run

cnp.import_array()

cdef enum:
    KEEP_GIL = 100_000      # flops below which the GIL is kept, as in matmul.pyx


cdef int add_weights(Record *p, Layer *layer, object w, object b) except -1:
    """Pack w, copy b."""
    cdef int typenum = cnp.NPY_FLOAT if p.bits == 32 else cnp.NPY_DOUBLE
    cdef cnp.ndarray x = real_like(w, typenum, "Plan", "w", "the first w"), row
    cdef int64_t k = layer.n_in, n = layer.n_out, rs = stride(x, 0), cs = stride(x, 1), size = p.bits // 8
    cdef int64_t packed = (packed_size(k, n, <float*>NULL) if p.bits == 32 else packed_size(k, n, <double*>NULL)) * size
    layer.w = take(packed)
    if layer.w is NULL:
        raise MemoryError(f"Plan: no memory for {packed} bytes")
    if p.bits == 32:
        pack_whole(k, n, <float*>cnp.PyArray_DATA(x), rs, cs, <float*>layer.w)
    else:
        pack_whole(k, n, <double*>cnp.PyArray_DATA(x), rs, cs, <double*>layer.w)
    p.nbytes += packed
    p.work += 2.0 * k * n
    if b is None:
        return 0
    row = cnp.PyArray_GETCONTIGUOUS(real_like(b, typenum, "Plan", "b", "the first w"))
    if np.shape(row) != (n,):
        raise ValueError(f"Plan: b must have the shape ({n},), not {np.shape(row)}")
    layer.bias = calloc(n, size)
    if layer.bias is NULL:
        raise MemoryError(f"Plan: no memory for {n * size} bytes")
    memcpy(layer.bias, cnp.PyArray_DATA(row), n * size)
    p.nbytes += n * size
    return 0


cdef int64_t packing_of(const Layer *layer, int64_t strip, const real *t) noexcept nogil:
    """Reals in which the product of a strip, or of fewer rows, packs A."""
    cdef Product g
    cdef Blocks s
    describe(&g, layer, strip, t, <real*>NULL)
    choose_blocks(&g, &s, t)
    return ceil_div(strip, tile_rows(t)) * tile_rows(t) * s.kc if s.pack_a else 0


cdef int lay_out(Record *p, int64_t batch_max) except -1:
    """How many rows a strip has, and where what is between the layers goes."""
    cdef int64_t size = p.bits // 8, i, need
    p.strip = min(batch_max, <int64_t>STRIP)
    for i in range(p.count):
        if p.layers[i].w is not NULL:
            need = packing_of(&p.layers[i], p.strip, <float*>NULL) if p.bits == 32 else packing_of(&p.layers[i], p.strip, <double*>NULL)
            p.packing = max(p.packing, need)
        if i < p.count - 1:
            p.hidden = max(p.hidden, p.layers[i].n_out)
    cdef int64_t fit = STACK // (2 * p.hidden * size) if p.hidden > 0 else p.strip
    if p.packing == 0 and fit >= min(p.strip, <int64_t>FEW_ROWS):
        p.strip = min(p.strip, fit)
        return 0
    p.workspace = (2 * p.strip * p.hidden + p.packing) * size
    p.workspaces[0] = take(p.workspace)
    if p.workspaces[0] is NULL:
        raise MemoryError(f"Plan: no memory for {p.workspace} bytes")
    return 0


cdef void release_capsule(object capsule) noexcept:
    plan_release(PyCapsule_GetPointer(capsule, "fastnn.plan"))


cdef class Plan:
    """Dense layers, activations and softmax in a row, frozen: ``model.freeze()`` makes one.

    Parameters
    ----------
    steps : sequence of tuples
        ``(w, b, activation)``, a layer act(x w + b) with w (in, out), b (out,) or None and the name of an activation or None; ``(activation,)``; or
        ``("softmax",)``. The first has a w. Weights are copied.
    batch_max : int
        Rows that a call brings at most, as a rule: work space is laid out for them. More are taken in parts.

    Attributes
    ----------
    n_in, n_out : int
        Columns of the input and of the output.
    dtype : numpy.dtype
    batch_max, nbytes : int
    address : int
        For ctypes and numba; valid as long as this object lives.
    capsule : PyCapsule
        Named "fastnn.plan"; keeps the plan alive by itself.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or the types differ.
    ValueError
        If there is no step, the first has no w, shapes do not fit, an activation is unknown, or batch_max is below 1.
    """
    cdef Record *record
    cdef readonly int64_t batch_max

    def __cinit__(self, steps, int64_t batch_max=1024):
        cdef Record *p
        cdef Layer *layer
        cdef int64_t width = -1
        if batch_max < 1:
            raise ValueError(f"Plan: batch_max must be at least 1, not {batch_max}")
        if not steps or len(steps[0]) == 1:
            raise ValueError("Plan: the first step must be a layer with weights")
        self.batch_max = batch_max
        self.record = p = <Record*>calloc(1, sizeof(Record))
        if p is not NULL:
            p.layers = <Layer*>calloc(len(steps), sizeof(Layer))
        if p is NULL or p.layers is NULL:
            raise MemoryError("Plan: no memory")
        p.holders = 1
        p.bits = 32 if real_type(steps[0][0], "Plan", "w") == cnp.NPY_FLOAT else 64
        for i, step in enumerate(steps):
            layer = &p.layers[i]
            p.count = i + 1
            activation = step[len(step) - 1]
            layer.kind = SOFTMAX if activation == "softmax" and len(step) == 1 else activation_code(activation, "Plan")
            if len(step) == 1:
                layer.n_in = layer.n_out = width
                continue
            if np.ndim(step[0]) != 2 or 0 in np.shape(step[0]) or (i > 0 and np.shape(step[0])[0] != width):
                wanted = "(in, out)" if i == 0 else f"({width}, out)"
                raise ValueError(f"Plan: w of step {i} must be {wanted} and not empty, not {np.shape(step[0])}")
            layer.n_in, layer.n_out = np.shape(step[0])
            width = layer.n_out
            add_weights(p, layer, step[0], step[1])
        p.n_in, p.n_out = p.layers[0].n_in, width
        lay_out(p, batch_max)

    def __dealloc__(self):
        if self.record is not NULL:
            plan_release(self.record)

    @property
    def n_in(self):
        return self.record.n_in

    @property
    def n_out(self):
        return self.record.n_out

    @property
    def dtype(self):
        return np.dtype(np.float32 if self.record.bits == 32 else np.float64)

    @property
    def nbytes(self):
        return self.record.nbytes

    @property
    def address(self):
        return <uintptr_t>self.record

    @property
    def capsule(self):
        plan_retain(self.record)
        return PyCapsule_New(self.record, "fastnn.plan", release_capsule)

    def __repr__(self):
        return f"Plan({self.n_in} -> {self.n_out}, {self.record.count} steps, {self.dtype}, {self.nbytes} bytes)"

    def __call__(self, x, *, out=None):
        """The output for x.

        Parameters
        ----------
        x : ndarray, shape (..., n_in), of the plan's type, any strides
        out : ndarray, shape (..., n_out), C-contiguous, optional
            Where to write; must not overlap x.

        Raises
        ------
        TypeError
            If x or out is not an array of the plan's type.
        ValueError
            If a shape does not fit, or out is read-only, not C-contiguous or overlaps x.
        """
        cdef const Record *p = self.record
        cdef int typenum = cnp.NPY_FLOAT if p.bits == 32 else cnp.NPY_DOUBLE, status
        cdef cnp.ndarray a = real_like(x, typenum, "Plan", "x", "the weights")
        cdef cnp.npy_intp shape[64]
        cdef int i, last = cnp.PyArray_NDIM(a) - 1
        if last < 0 or cnp.PyArray_DIM(a, last) != p.n_in:
            raise ValueError(f"Plan: x must be (..., {p.n_in}), not {np.shape(a)}")
        for i in range(last):
            shape[i] = cnp.PyArray_DIM(a, i)
        shape[last] = p.n_out
        cdef cnp.ndarray y = new_array(last + 1, shape, typenum) if out is None else self.output(out, a)
        a = cnp.PyArray_GETCONTIGUOUS(a)
        cdef int64_t rows = cnp.PyArray_SIZE(a) // p.n_in
        cdef void *px = cnp.PyArray_DATA(a)
        cdef void *py = cnp.PyArray_DATA(y)
        if rows * p.work < KEEP_GIL:
            status = run(p, <float*>px, <float*>py, rows) if p.bits == 32 else run(p, <double*>px, <double*>py, rows)
        else:
            with nogil:
                status = run(p, <float*>px, <float*>py, rows) if p.bits == 32 else run(p, <double*>px, <double*>py, rows)
        check_status(status, "Plan")
        return y

    cdef cnp.ndarray output(self, object out, cnp.ndarray x):
        cdef cnp.ndarray y = real_like(out, cnp.PyArray_TYPE(x), "Plan", "out", "the weights")
        shape = np.shape(x)[:-1] + (self.n_out,)
        if np.shape(y) != shape:
            raise ValueError(f"Plan: out must be {shape} for x {np.shape(x)}, not {np.shape(y)}")
        if not is_output(y):
            refuse_output(y, "Plan", "out")
        if not cnp.PyArray_IS_C_CONTIGUOUS(y):
            raise ValueError("Plan: out must be C-contiguous")
        check_overlap(y, x, "Plan", "out", "x")
        return y
