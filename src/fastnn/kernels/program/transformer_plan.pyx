"""A frozen Transformer as an object, and the state of its steps; transformer_run.pyx runs it."""
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
cimport numpy as cnp
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

import numpy as np

from ..rowwise.activation cimport activation_code
from ..ground.arrays cimport check_overlap, check_status, int64_array, is_output, real_like, real_type, refuse_output
from ..ground.memory cimport give, new_array, take
from .plan_run cimport plan_release, plan_retain
from .transformer_run cimport (MOST_ROWS, TRANSFORMER, Block, State, Transformer, plan_encode_f32, plan_encode_f64, plan_new_state, plan_step_f32,
                               plan_step_f64, state_release, state_truncate)
from .transformer_weights cimport fill, packed_bytes, padded

cnp.import_array()

cdef void destroy(void *plan) noexcept nogil:
    cdef Transformer *t = <Transformer*>plan
    give(t.weights)
    free(t.blocks)
    free(t)


cdef void release_capsule(object capsule) noexcept:
    plan_release(PyCapsule_GetPointer(capsule, "fastnn.plan"))


cdef class TransformerPlan:
    """A Transformer, frozen: ``freeze()`` of a `models.TransformerLM` or an `nn.TransformerEncoder` makes one.

    A language model's plan has `step` and `new_state`; it can stand in the place of the model in `models.generate` and its like. An encoder's plan is called.
    Any number of threads may use one plan, each with states of its own, also from C: docs/embedding.md.

    Parameters
    ----------
    blocks : sequence of dicts
        (weight, bias) of the parts "norm1", "qkv", "out", "norm2", "up", "down"; a bias may be None. All weights are copied.
    n_heads, n_kv_heads : int
    activation : str or None
    norm_first, rms, causal, rotary : bool
    eps : float
    last : (weight, bias), optional
        Of the last norm.
    embedding : ndarray (vocabulary, d), optional
        Without it vectors come in and go out.
    scale : float
        Of the embedding.
    positions : ndarray (max_len, d), optional
        Added to the embedding.
    head : ndarray (d, vocabulary), optional
        By default the embedding's transpose.
    max_len : int
        Positions at most.

    Attributes
    ----------
    d_model, n_layers, max_len, nbytes : int
    vocab_size : int
        0 of an encoder.
    dtype : numpy.dtype
    address : int
        For ctypes and numba; valid as long as this object lives.
    capsule : PyCapsule
        Named "fastnn.plan"; keeps the plan alive by itself.
    """
    cdef Transformer *record

    def __cinit__(self, blocks, *, n_heads, n_kv_heads, activation, norm_first, rms, causal, rotary, eps, max_len, last=None, embedding=None,
                  scale=1.0, positions=None, head=None):
        cdef Transformer *t
        cdef int64_t total = 0
        cdef int typenum = real_type(blocks[0]["qkv"][0], "TransformerPlan", "qkv.weight"), act = activation_code(activation, "TransformerPlan")
        if embedding is not None and head is None:
            head = embedding.T
        arrays = [embedding, positions, *(last or ())]
        matrices = [] if head is None else [head]
        for block in blocks:
            for name, (weight, bias) in block.items():
                arrays.append(bias)
                (arrays if name.startswith("norm") else matrices).append(weight)
        self.record = t = <Transformer*>calloc(1, sizeof(Transformer))
        if t is NULL:
            raise MemoryError("TransformerPlan: no memory")
        t.holders, t.count, t.destroy, t.bits = 1, TRANSFORMER, destroy, 32 if typenum == cnp.NPY_FLOAT else 64
        t.layers, t.heads, t.kv_heads, t.max_len = len(blocks), n_heads, n_kv_heads, max_len
        t.d, t.d_ff = np.shape(blocks[0]["qkv"][0])[0], np.shape(blocks[0]["up"][0])[1]
        t.norm_first, t.rms, t.causal, t.eps, t.scale = norm_first, rms, causal, eps, scale
        if t.d < 1 or t.heads < 1 or t.kv_heads < 1 or t.d % t.heads or t.heads % t.kv_heads or max_len < 1:
            raise ValueError(f"TransformerPlan: {n_heads} heads, {n_kv_heads} of keys, of {t.d} columns and {max_len} positions make no sense")
        t.table_positions = max_len + MOST_ROWS if rotary else 0     # what a row does not bring may stand behind its end
        for array in arrays:
            total += padded(array)
        for array in matrices:
            total += packed_bytes(array)
        t.nbytes = total + t.table_positions * (t.d // t.heads) * (t.bits // 8)
        t.weights, t.blocks = take(t.nbytes), <Block*>calloc(t.layers, sizeof(Block))
        if t.weights is NULL or t.blocks is NULL:
            raise MemoryError(f"TransformerPlan: no memory for {t.nbytes} bytes")
        fill(t, typenum, act, list(blocks), last, embedding, positions, head)

    def __dealloc__(self):
        if self.record is not NULL:
            plan_release(self.record)

    @property
    def d_model(self):
        return self.record.d

    @property
    def n_layers(self):
        return self.record.layers

    @property
    def vocab_size(self):
        return self.record.vocabulary

    @property
    def max_len(self):
        return self.record.max_len

    @property
    def nbytes(self):
        return self.record.nbytes

    @property
    def dtype(self):
        return np.dtype(np.float32 if self.record.bits == 32 else np.float64)

    @property
    def address(self):
        return <uintptr_t>self.record

    @property
    def capsule(self):
        plan_retain(self.record)
        return PyCapsule_New(self.record, "fastnn.plan", release_capsule)

    def __repr__(self):
        kind = f"{self.vocab_size} tokens, " if self.vocab_size else ""
        return f"TransformerPlan({kind}{self.n_layers} layers of {self.d_model}, {self.dtype}, {self.nbytes} bytes)"

    def new_state(self, batch=1, max_len=None):
        """An empty `PlanState` of `batch` rows with room for max_len positions, those of the plan by default.

        Raises
        ------
        TypeError
            If the plan is an encoder's.
        ValueError
            If batch is below 1 or max_len is not from 1 to the plan's.
        """
        return PlanState(self, batch, max_len)

    def new_cache(self, batch, max_len=None):
        """`new_state`, by the name that models have for it."""
        return PlanState(self, batch, max_len)

    def step(self, ids, PlanState state not None, lengths=None, *, out=None):
        """The logits (B, vocab_size) of what comes after ids (B, n), which join the state.

        Parameters
        ----------
        ids : ndarray of integers
        state : PlanState
            Of this plan; used by one thread at a time.
        lengths : ndarray of integers (B,), optional
            How many of the n ids each row brings, the first so many, at least 1; all by default.
        out : ndarray, shape (B, vocab_size), C-contiguous, optional

        Raises
        ------
        TypeError
            If ids or lengths are no integers, out is of another type, or the plan is an encoder's.
        ValueError
            If a shape does not fit, an id or a length is out of range, there is no room, or the state is another plan's; the state is as before then.
        """
        cdef const Transformer *t = self.record
        cdef State *s = state.record
        cdef cnp.ndarray tokens, taken = None, y
        cdef cnp.npy_intp[2] shape
        cdef const int64_t *counts = NULL
        cdef const int64_t *numbers
        cdef int typenum = cnp.NPY_FLOAT if t.bits == 32 else cnp.NPY_DOUBLE, status
        if s.plan != t:
            raise ValueError("step: this is a state of another plan")
        tokens = int64_array(ids, "step", "ids")
        if cnp.PyArray_NDIM(tokens) != 2 or cnp.PyArray_DIM(tokens, 0) != s.batch or cnp.PyArray_DIM(tokens, 1) < 1:
            raise ValueError(f"step: ids must be ({s.batch}, n) with n at least 1, not {np.shape(tokens)}")
        cdef int64_t n = cnp.PyArray_DIM(tokens, 1)
        if lengths is not None:
            taken = int64_array(np.asarray(lengths), "step", "lengths")
            if np.shape(taken) != (s.batch,) or taken.min() < 1 or taken.max() > n:
                raise ValueError(f"step: lengths must be {s.batch} integers from 1 to {n}, not {lengths!r:.80}")
            counts = <const int64_t*>cnp.PyArray_DATA(taken)
        shape[0], shape[1] = s.batch, t.vocabulary
        y = new_array(2, shape, typenum) if out is None else output(out, "step", typenum, (s.batch, t.vocabulary))
        numbers = <const int64_t*>cnp.PyArray_DATA(tokens)
        cdef void *py = cnp.PyArray_DATA(y)
        with nogil:
            status = (plan_step_f32(t, s, numbers, n, counts, <float*>py) if typenum == cnp.NPY_FLOAT else
                      plan_step_f64(t, s, numbers, n, counts, <double*>py))
        if status == 2:
            refuse_step(t, s, tokens, n, taken)
        check_status(status, "step")
        return y

    def __call__(self, x, *, lengths=None, out=None):
        """The output (B, T, d_model) of an encoder for x (B, T, d_model).

        Parameters
        ----------
        x : ndarray, of the plan's type, any strides
        lengths : ndarray of integers (B,), optional
            How many positions of each row may be attended to, the first so many.
        out : ndarray, of the shape of x, C-contiguous, optional
            Must not overlap x.

        Raises
        ------
        TypeError
            If an argument is of another type, or the plan is a language model's.
        ValueError
            If a shape does not fit, a length is out of range or x is longer than max_len.
        """
        cdef const Transformer *t = self.record
        cdef int typenum = cnp.NPY_FLOAT if t.bits == 32 else cnp.NPY_DOUBLE, status
        if t.embedding is not NULL:
            raise TypeError("TransformerPlan: a language model's plan has `step`")
        cdef cnp.ndarray a = real_like(x, typenum, "TransformerPlan", "x", "the weights"), seen = None, y
        if cnp.PyArray_NDIM(a) != 3 or cnp.PyArray_DIM(a, 2) != t.d or cnp.PyArray_DIM(a, 1) > t.max_len:
            raise ValueError(f"TransformerPlan: x must be (batch, at most {t.max_len}, {t.d}), not {np.shape(a)}")
        cdef int64_t batch = cnp.PyArray_DIM(a, 0), n = cnp.PyArray_DIM(a, 1)
        cdef const int64_t *counts = NULL
        if lengths is not None:
            seen = int64_array(lengths, "TransformerPlan", "lengths")
            if np.shape(seen) != (batch,) or (batch and (seen.min() < 0 or seen.max() > n)):
                raise ValueError(f"TransformerPlan: lengths must be {batch} integers from 0 to {n}, not {lengths!r:.80}")
            counts = <const int64_t*>cnp.PyArray_DATA(seen)
        y = new_array(3, cnp.PyArray_DIMS(a), typenum) if out is None else output(out, "TransformerPlan", typenum, np.shape(a))
        if out is not None:
            check_overlap(y, a, "TransformerPlan", "out", "x")
        a = cnp.PyArray_GETCONTIGUOUS(a)
        cdef void *px = cnp.PyArray_DATA(a)
        cdef void *py = cnp.PyArray_DATA(y)
        with nogil:
            status = (plan_encode_f32(t, <float*>px, batch, n, counts, <float*>py) if typenum == cnp.NPY_FLOAT else
                      plan_encode_f64(t, <double*>px, batch, n, counts, <double*>py))
        check_status(status, "TransformerPlan")
        return y


cdef cnp.ndarray output(object out, str op, int typenum, tuple shape):
    cdef cnp.ndarray y = real_like(out, typenum, op, "out", "the weights")
    if np.shape(y) != shape or not cnp.PyArray_IS_C_CONTIGUOUS(y):
        raise ValueError(f"{op}: out must be {shape} and C-contiguous, not {np.shape(y)}")
    if not is_output(y):
        refuse_output(y, op, "out")
    return y


cdef int refuse_step(const Transformer *t, const State *s, cnp.ndarray ids, int64_t n, cnp.ndarray taken) except -1:
    """Say which number was out of range."""
    cdef int64_t b, i, count
    for b in range(s.batch):
        count = n if taken is None else taken[b]
        if s.lengths[b] + count > s.max_len:
            raise ValueError(f"step: row {b} holds {s.lengths[b]} positions and {count} more are too many for {s.max_len}")
        for i in range(count):
            if not 0 <= ids[b, i] < t.vocabulary:
                raise ValueError(f"step: the id {ids[b, i]} at ({b}, {i}) is not from 0 to {t.vocabulary - 1}")
    return 0


cdef class PlanState:
    """The keys and values of the positions so far, for `TransformerPlan.step`; made by `new_state`. One thread at a time may use it.

    Attributes
    ----------
    lengths : ndarray of int64 (B,)
        Positions held, of each row.
    max_len : int
        Positions that there is room for.
    address : int
        For C, as `TransformerPlan.address`.
    """
    cdef State *record
    cdef readonly TransformerPlan plan

    def __cinit__(self, TransformerPlan plan not None, int64_t batch, max_len=None):
        cdef int64_t room = plan.record.max_len if max_len is None else max_len
        if plan.record.embedding is NULL:
            raise TypeError("new_state: an encoder's plan has no steps")
        if batch < 1 or not 1 <= room <= plan.record.max_len:
            raise ValueError(f"new_state: batch must be at least 1 and max_len from 1 to {plan.record.max_len}, not {batch} and {room}")
        self.plan = plan
        self.record = <State*>plan_new_state(plan.record, batch, room)
        if self.record is NULL:
            raise MemoryError(f"new_state: no memory for {batch} rows of {room} positions")

    def __dealloc__(self):
        if self.record is not NULL:
            state_release(self.record)

    @property
    def lengths(self):
        return np.array([self.record.lengths[b] for b in range(self.record.batch)], np.int64)

    @property
    def max_len(self):
        return self.record.max_len

    @property
    def address(self):
        return <uintptr_t>self.record

    def __len__(self):
        return self.record.batch

    def truncate(self, int64_t length=0):
        """Forget all but the first `length` positions of every row."""
        if length < 0:
            raise ValueError(f"truncate: length must be at least 0, not {length}")
        state_truncate(self.record, length)

    def select(self, rows):
        """Go on with these rows of the batch, in this order: some may be missing or come twice."""
        cdef State *old = self.record
        cdef State *new
        cdef cnp.ndarray chosen = int64_array(np.asarray(rows), "select", "rows")
        cdef const int64_t *of = <const int64_t*>cnp.PyArray_DATA(chosen)
        cdef int64_t count = cnp.PyArray_SIZE(chosen), layer, b, h, heads = old.plan.kv_heads, row, held, at, source
        if cnp.PyArray_NDIM(chosen) != 1 or count == 0 or chosen.min() < 0 or chosen.max() >= old.batch:
            raise ValueError(f"select: rows must be integers from 0 to {old.batch - 1}, at least one, not {rows!r:.80}")
        row = old.plan.d // old.plan.heads * (old.plan.bits // 8)
        new = <State*>plan_new_state(old.plan, count, old.max_len)
        if new is NULL:
            raise MemoryError(f"select: no memory for {count} rows")
        for b in range(count):
            new.lengths[b] = held = old.lengths[of[b]]
            for layer in range(old.plan.layers):
                for h in range(heads):
                    at = ((layer * count + b) * heads + h) * old.max_len * row
                    source = ((layer * old.batch + of[b]) * heads + h) * old.max_len * row
                    memcpy(<char*>new.keys + at, <char*>old.keys + source, held * row)
                    memcpy(<char*>new.values + at, <char*>old.values + source, held * row)
        self.record = new
        state_release(old)
