"""From a builder to the record that runs: weights packed, or pointed at where they are."""
cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc

import numpy as np

from ..attention.rotary cimport fill_table
from ..gemm.loops cimport pack_whole, packed_size
from ..gemm.strips cimport FORMATS, low_bytes, low_pack
from ..ground.arrays cimport call_typed, real_like, real_type, stride
from ..ground.memory cimport take
from ..ground.scalars import given
from ..rowwise.activation cimport activation_code
from .attend cimport table_rows
from .builder import Builder, array_of
from .ops cimport (ACTIVATION, ADD, ATTENTION, BF16, COPY, CROSS, DENSE, EMBED, GATE, LAST,
                   LOG_SOFTMAX, MOST_BUFFERS, NORM, NORM_HEADS, PACKED, PLAIN, POSITIONS, PRELU,
                   SOFTMAX, Op,
                   Record)
from .run cimport plan_release
from .step cimport MOST_ROWS, MOST_ROWS_LIVE

cnp.import_array()

_KINDS = {"dense": DENSE, "activation": ACTIVATION, "softmax": SOFTMAX, "log_softmax": LOG_SOFTMAX,
          "norm": NORM, "prelu": PRELU, "gate": GATE, "norm_heads": NORM_HEADS,
          "add": ADD, "copy": COPY, "embed": EMBED,
          "positions": POSITIONS, "attention": ATTENTION, "cross": CROSS, "last": LAST}


cdef class Recorder:
    """Owns the record of a program.

    Parameters
    ----------
    builder : Builder
    live : bool
        Weights stay where they are; else they are copied, and the record never changes.
    keeps : bool
        Every value has a buffer of its own, for backward.
    """

    def __cinit__(self, builder, bint live, bint keeps):
        cdef Record *p
        cdef int i
        if not isinstance(builder, Builder):
            raise TypeError(f"{'Program' if keeps else 'Plan'}: builder must be a Builder, got "
                            f"{given(builder)}; model.freeze() makes plans")
        operations, buffers, sizes = builder.build(not keeps)
        weights = [array_of(op.weight) for op in operations if op.weight is not None]
        first = next((w for w in weights if not isinstance(w, float)), None)
        self.typenum = cnp.NPY_FLOAT if first is None else real_type(first, "program", "weight")
        self.live, self.keeps, self.made, self.kept = live, keeps, {}, []
        self.format = PLAIN if live else PACKED
        if builder.weights is not None and not live:
            if self.typenum != cnp.NPY_FLOAT:
                raise TypeError(f"freeze: weights {builder.weights!r} need a model of float32, not "
                                "of float64")
            self.format = <Format>(BF16 + FORMATS.index(builder.weights))
        self.parameters = [op.weight if getattr(op.weight, "is_large", False) else None
                           for op in operations]
        self.record = p = <Record*>calloc(1, sizeof(Record))
        if p is not NULL:
            p.holders, p.bits = 1, {cnp.NPY_FLOAT: 32, cnp.NPY_DOUBLE: 64}[self.typenum]
            p.most_rows = MOST_ROWS_LIVE if live else MOST_ROWS
            p.ops = <Op*>calloc(len(operations), sizeof(Op))
            p.owned = <void**>calloc(3 * len(operations), sizeof(void*))
        if p is NULL or p.ops is NULL or p.owned is NULL:
            raise MemoryError("program: no memory")
        p.tail = p.count = len(operations)
        p.max_len = builder.max_len
        p.n_in, p.n_out = operations[0].n_in, operations[-1].n_out
        values = max(max(op.x, *op.writes) for op in operations) + 1
        p.output = builder.value if keeps else 1
        if keeps:
            buffers = {value: value for value in range(values)}, buffers
        else:
            buffers = buffers, buffers
        self.lay_out(sizes, buffers[1], values if keeps else len(sizes))
        for i, op in enumerate(operations):
            self.fill(i, op, buffers[0])

    def __dealloc__(self):
        if self.record is not NULL:
            plan_release(self.record)

    cdef int lay_out(self, list sizes, dict buffers, int count) except -1:
        """Where the buffers begin."""
        cdef Record *p = self.record
        cdef int i
        if count > MOST_BUFFERS:
            raise ValueError(f"program: {count} values at once, more than {MOST_BUFFERS}")
        p.starts = <int64_t*>calloc(count + 1, sizeof(int64_t))
        if p.starts is NULL:
            raise MemoryError("program: no memory")
        starts = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        p.buffers = count
        for i in range(count):
            p.starts[i] = starts[buffers.get(i, 0)] if self.keeps else starts[i]
        p.starts[count] = starts[len(sizes)]

    cdef int fill(self, int i, object op, dict buffers) except -1:
        """The record of one operation."""
        cdef Record *p = self.record
        cdef Op *o = &p.ops[i]
        o.kind = _KINDS[op.kind]
        o.n_in, o.n_out, o.x, o.y = op.n_in, op.n_out, buffers[op.x], buffers[op.y]
        o.residual = -1 if op.residual is None else buffers[op.residual]
        o.h = -1 if op.h is None else buffers[op.h]
        o.activation = activation_code(op.activation, op.kind)
        o.flag, o.factor = op.flag, op.factor
        weight, bias = array_of(op.weight), array_of(op.bias)
        if isinstance(weight, float):
            weight = np.full(1, weight, cnp.PyArray_DescrFromType(self.typenum))
        if o.kind == DENSE or o.kind == CROSS:
            o.format = self.format
            o.rsw, o.csw = np.shape(weight)[1], 1
            o.weight = self.matrix(o, weight) if self.live else self.stored(weight, o.format)
            p.work += 2.0 * np.size(weight) if o.kind == DENSE else 0.0
        else:
            o.weight = self.kept_at(weight, "weight")
        o.bias = self.kept_at(bias, "bias")
        if self.keeps and o.kind == DENSE:
            o.dweight = self.gradient(op.weight, "weight.grad")
            o.dbias = self.gradient(op.bias, "bias.grad")
        p.sequences = p.sequences or o.kind > COPY
        if o.kind == EMBED:
            p.vocabulary, p.n_in = len(weight), op.n_out
        elif o.kind == LAST:
            p.tail = i
        elif o.kind == NORM_HEADS:
            o.heads, o.kv_heads, o.size = op.heads, op.kv_heads, op.size
        elif o.kind == ATTENTION or o.kind == CROSS:
            self.fill_attention(i, op)
        return 0

    cdef int fill_attention(self, int i, object op) except -1:
        cdef Record *p = self.record
        cdef Op *o = &p.ops[i]
        o.heads, o.kv_heads, o.window = op.heads, op.kv_heads, op.window
        o.size = o.n_out // o.heads
        if o.kind == CROSS:
            o.n_memory, o.cache = np.shape(array_of(op.weight))[0], p.memory
            p.memory += 2 * o.kv_heads * o.size
            p.crosses += 1
        else:
            o.cache, o.cache_heads = p.keys, p.key_heads
            p.keys += o.kv_heads * o.size
            p.key_heads += o.kv_heads
            p.attentions += 1
        if op.rotary:
            o.turned = o.size if op.rates is None else 2 * len(op.rates)
            o.table = self.rotary_table(o.turned, op.rates, op.factor)
        return 0

    cdef void *own(self, object bytes) except NULL:
        """Memory that goes with the record."""
        cdef Record *p = self.record
        cdef void *block = take(max(bytes, 1))
        if block is NULL:
            raise MemoryError(f"program: no memory for {bytes} bytes")
        p.owned[p.owned_count] = block
        p.owned_count += 1
        p.nbytes += bytes
        return block

    cdef void *stored(self, object array, Format format) except NULL:
        """A copy of a matrix in a format (docs/contributing/add-a-weight-format.md)."""
        cdef cnp.ndarray x = real_like(array, self.typenum, "program", "weight", "the first weight")
        cdef int64_t k = cnp.PyArray_DIM(x, 0), n = cnp.PyArray_DIM(x, 1)
        cdef int64_t rs = stride(x, 0), cs = stride(x, 1)
        cdef void *data = cnp.PyArray_DATA(x)
        cdef void *to
        key = format, <size_t>data, k, n, rs, cs
        if key in self.made:
            return <void*><size_t>self.made[key]
        if format > PACKED:
            to = self.own(low_bytes(format, k, n))
            low_pack(format, k, n, <const float*>data, rs, cs, to)
        else:
            to = self.own(cnp.PyArray_ITEMSIZE(x) * call_typed(
                self.typenum, False, packed_size[float], packed_size[double], k, n, NULL
            ))
            call_typed(self.typenum, False, pack_whole[float], pack_whole[double], k, n, data, rs,
                       cs, to)
        self.made[key] = <size_t>to
        return to

    cdef void *kept_at(self, object array, str name) except? NULL:
        return self.in_place(array, name) if self.live else self.copied(array, name)

    cdef void *copied(self, object array, str name) except? NULL:
        """A C-ordered copy; NULL for None."""
        cdef cnp.ndarray x, copy
        cdef void *to
        if array is None:
            return NULL
        x = real_like(array, self.typenum, "program", name, "the first weight")
        to = self.own(x.nbytes)
        copy = cnp.PyArray_SimpleNewFromData(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x),
                                             self.typenum, to)
        copy[...] = x
        return to

    cdef const void *matrix(self, Op *o, object array) except NULL:
        """The memory of a matrix of which rows or columns lie side by side, and its strides."""
        cdef cnp.ndarray x = real_like(array, self.typenum, "program", "weight", "the first weight")
        if cnp.PyArray_IS_C_CONTIGUOUS(x) or not cnp.PyArray_IS_F_CONTIGUOUS(x):
            return self.in_place(x, "weight")
        self.kept.append(x)
        o.rsw, o.csw = 1, cnp.PyArray_DIM(x, 0)
        return cnp.PyArray_DATA(x)

    cdef void *in_place(self, object array, str name) except? NULL:
        """The memory of an array that may be read, written and walked from end to end."""
        cdef cnp.ndarray x
        if array is None:
            return NULL
        x = real_like(array, self.typenum, "program", name, "the first weight")
        if not cnp.PyArray_IS_C_CONTIGUOUS(x) or not cnp.PyArray_ISWRITEABLE(x):
            raise ValueError(f"program: {name} must be C-contiguous and writable")
        self.kept.append(x)
        return cnp.PyArray_DATA(x)

    cdef void *gradient(self, object weight, str name) except? NULL:
        """The gradient of a parameter, not held: held ones are cleared at once; NULL if frozen."""
        if not getattr(weight, "requires_grad", True):
            return NULL
        cdef void *at = self.in_place(getattr(weight, "grad", None), name)
        if at is not NULL and hasattr(weight, "memory"):
            self.kept[-1] = weight.memory
        return at

    cdef void *rotary_table(self, int64_t size, object rates, double factor) except NULL:
        cdef Record *p = self.record
        cdef int64_t positions = table_rows(p)
        cdef void *to
        cdef void *given = NULL
        key = "rotary", size, None if rates is None else rates.tobytes(), factor
        if rates is not None:
            given = cnp.PyArray_DATA(<cnp.ndarray>rates)
        if key not in self.made:
            to = self.own(positions * size * (p.bits // 8))
            call_typed(self.typenum, False, fill_table[float], fill_table[double], 0, positions,
                       size // 2, 10000.0, given, factor, to)
            self.made[key] = <size_t>to
        return <void*><size_t>self.made[key]
