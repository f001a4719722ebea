"""A frozen model as an object: weights copied and packed, work space laid out. plan_run.pyx runs it."""
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
cimport numpy as cnp
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy

import numpy as np

from ..rowwise.activation cimport activation_code
from ..ground.arrays cimport check_overlap, check_status, is_output, real_like, real_type, refuse_output, stride
from ..ground.dispatch cimport real, tile_rows
from ..gemm.loops cimport Blocks, Product, ceil_div, choose_blocks, pack_whole, packed_size
from ..ground.memory cimport new_array, take
from .plan_run cimport (ADD, FEW_ROWS, KEEP, LAYER_NORM, LOG_SOFTMAX, PRELU, RMS_NORM, SOFTMAX, STACK, STRIP, Layer, Record, describe, plan_release,
                        plan_retain, run)

cnp.import_array()

cdef enum:
    KEEP_GIL = 100_000      # flops below which the GIL is kept, as in matmul.pyx
    MOST_KEPT = 16          # residual branches in one another


cdef int add_weights(Record *p, Layer *layer, object w, object b) except -1:
    """Pack w, copy b."""
    cdef int typenum = cnp.NPY_FLOAT if p.bits == 32 else cnp.NPY_DOUBLE
    cdef cnp.ndarray x = real_like(w, typenum, "Plan", "w", "the first w")
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
    layer.bias = copied(p, b, n, "b")
    return 0


cdef void *copied(Record *p, object values, int64_t n, str name) except? NULL:
    """A copy of n values; NULL for None."""
    cdef int64_t bytes = n * (p.bits // 8)
    cdef cnp.ndarray row
    cdef void *copy
    if values is None:
        return NULL
    row = cnp.PyArray_GETCONTIGUOUS(real_like(values, cnp.NPY_FLOAT if p.bits == 32 else cnp.NPY_DOUBLE, "Plan", name, "the first w"))
    if np.shape(row) != (n,):
        raise ValueError(f"Plan: {name} must have the shape ({n},), not {np.shape(row)}")
    copy = calloc(max(n, <int64_t>1), p.bits // 8)
    if copy is NULL:
        raise MemoryError(f"Plan: no memory for {bytes} bytes")
    memcpy(copy, cnp.PyArray_DATA(row), bytes)
    p.nbytes += bytes
    return copy


cdef int add_named(Record *p, Layer *layer, tuple step, int64_t *depth) except -1:
    """A step without a product: its name, and what it needs."""
    cdef str name = step[0]
    if name in ("layer_norm", "rms_norm"):
        layer.kind = LAYER_NORM if name == "layer_norm" else RMS_NORM
        layer.weight, layer.bias, layer.eps = copied(p, step[1], layer.n_in, "weight"), copied(p, step[2], layer.n_in, "bias"), step[3]
        if not layer.eps > 0:
            raise ValueError(f"Plan: eps must be above 0, not {layer.eps}")
    elif name == "prelu":
        slopes = np.full(1, step[1], np.float32 if p.bits == 32 else np.float64) if isinstance(step[1], float) else step[1]
        layer.kind, layer.shared = PRELU, np.shape(slopes) == (1,)
        layer.weight = copied(p, slopes, 1 if layer.shared else layer.n_in, "slopes")
    elif name == "keep":
        layer.kind, layer.slot = KEEP, depth[0]
        depth[0] += 1
        p.slots = max(p.slots, depth[0])
    elif name == "add":
        depth[0] -= 1
        if depth[0] < 0:
            raise ValueError("Plan: an add without a keep before it")
        layer.kind, layer.slot = ADD, depth[0]
    elif name == "softmax" or name == "log_softmax":
        layer.kind = SOFTMAX if name == "softmax" else LOG_SOFTMAX
    else:
        layer.kind = activation_code(name, "Plan")
    return 0


cdef int64_t first_width(steps) except -1:
    """Columns that go into the first step that says how many."""
    for step in steps:
        if not isinstance(step[0], str):
            if np.ndim(step[0]) != 2:
                raise ValueError(f"Plan: w of the first step must be (in, out) and not empty, not {np.shape(step[0])}")
            return np.shape(step[0])[0]
    raise ValueError("Plan: no step is a layer with weights")


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
    cdef int64_t strips = 2 + p.slots, fit = STACK // (strips * p.hidden * size) if p.hidden > 0 else p.strip
    if p.packing == 0 and fit >= min(p.strip, <int64_t>FEW_ROWS):
        p.strip = min(p.strip, fit)
        return 0
    p.workspace = (strips * p.strip * p.hidden + p.packing) * size
    p.workspaces[0] = take(p.workspace)
    if p.workspaces[0] is NULL:
        raise MemoryError(f"Plan: no memory for {p.workspace} bytes")
    return 0


cdef void release_capsule(object capsule) noexcept:
    plan_release(PyCapsule_GetPointer(capsule, "fastnn.plan"))


cdef class Plan:
    """Dense layers and what stands between them, frozen: ``model.freeze()`` makes one.

    Parameters
    ----------
    steps : sequence of tuples
        ``(w, b, activation)``, a layer act(x w + b) with w (in, out), b (out,) or None and the name of an activation or None; ``(name,)`` of an activation,
        "softmax" or "log_softmax"; ``("layer_norm", weight, bias, eps)`` and ``("rms_norm", weight, None, eps)``, with arrays or None;
        ``("prelu", slopes)``, slopes (columns,), (1,) or a float; and ``("keep",)`` ... ``("add",)`` around a residual branch. Weights are copied.
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
        If no step has a w, shapes do not fit, an activation is unknown, or batch_max is below 1.
    """
    cdef Record *record
    cdef readonly int64_t batch_max

    def __cinit__(self, steps, int64_t batch_max=1024):
        cdef Record *p
        cdef Layer *layer
        cdef int64_t width = first_width(steps), depth = 0
        cdef int64_t[MOST_KEPT] kept
        if batch_max < 1:
            raise ValueError(f"Plan: batch_max must be at least 1, not {batch_max}")
        self.batch_max = batch_max
        self.record = p = <Record*>calloc(1, sizeof(Record))
        if p is not NULL:
            p.layers = <Layer*>calloc(len(steps), sizeof(Layer))
        if p is NULL or p.layers is NULL:
            raise MemoryError("Plan: no memory")
        p.holders = 1
        p.bits = 32 if real_type([step[0] for step in steps if not isinstance(step[0], str)][0], "Plan", "w") == cnp.NPY_FLOAT else 64
        for i, step in enumerate(steps):
            layer = &p.layers[i]
            p.count = i + 1
            layer.n_in = layer.n_out = width
            if isinstance(step[0], str):
                if depth == MOST_KEPT and step[0] == "keep":
                    raise ValueError(f"Plan: more than {MOST_KEPT} residual branches in one another")
                add_named(p, layer, tuple(step), &depth)
                if layer.kind == KEEP:
                    kept[layer.slot] = width
                elif layer.kind == ADD and kept[layer.slot] != width:
                    raise ValueError(f"Plan: {width} columns come out of a residual branch that {kept[layer.slot]} go into")
                continue
            if np.ndim(step[0]) != 2 or 0 in np.shape(step[0]) or (i > 0 and np.shape(step[0])[0] != width):
                wanted = "(in, out)" if i == 0 else f"({width}, out)"
                raise ValueError(f"Plan: w of step {i} must be {wanted} and not empty, not {np.shape(step[0])}")
            layer.kind = activation_code(step[2], "Plan")
            width = layer.n_out = np.shape(step[0])[1]
            add_weights(p, layer, step[0], step[1])
        if depth:
            raise ValueError("Plan: a keep without an add after it")
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
