"""Programs as objects: frozen ones, with copies of the weights, and those of a live model."""
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
cimport numpy as cnp
from libc.stdint cimport INT64_MAX, int64_t, uintptr_t

import numpy as np

from ..ground.arrays cimport check_overlap, check_status, int64_array, real_like
from ..ground.machine cimport machine
from ..ground.memory cimport new_array
from ..ground.scalars cimport whole_number
from ..ground.scalars import given
from .ops cimport Pass, Record, State
from .run cimport FEW_ROWS, STRIP, plan_release, plan_retain, run_rows
from .record cimport Recorder
from .state cimport (PlanState, check_lengths, integers, memory_of, output, pieces_of, refuse_id,
                     refuse_step)
from .step cimport encode, step_locked, unlock_state

cnp.import_array()

cdef enum:
    KEEP_GIL = 100_000      # flops below which the GIL is kept, as in gemm/arrays.pyx


cdef void release_capsule(object capsule) noexcept:
    plan_release(PyCapsule_GetPointer(capsule, "fastnn.plan"))


cdef class Plan:
    """A network, frozen: ``model.freeze()`` makes one.

    A plan of rows takes arrays (..., n_in). A plan with attention takes (batch, positions, n_in),
    or ids (batch, positions) where it begins with an embedding. A language model's has `step` and
    `new_cache`, so it can stand in the place of the model in `models.generate` and its like. Any
    number of threads may use one plan, from Python or by its address from C: docs/embedding.md.

    Parameters
    ----------
    builder : Builder
        What the layers were lowered to.
    batch_max : int
        Rows that a call is expected to bring at most; more are taken in parts.
    source : object, optional
        What the layers belong to. If it is given, the plan reads the layers' own arrays, and a
        state of another plan of this source can be used with it; by default weights are copied.

    Attributes
    ----------
    n_in, n_out : int
        Columns of the input, of the embedding where ids come in, and of the output.
    n_layers : int
        Attention layers.
    vocab_size : int
        0 where no ids come in.
    max_len : int
        Positions of a sequence at most.
    dtype : numpy.dtype
    batch_max, nbytes : int
    row_nbytes : int
        Memory that each row of a call takes for what is between the layers.
    address : int
        For ctypes and numba; valid as long as this object lives.
    capsule : PyCapsule
        Named "fastnn.plan"; keeps the plan alive by itself.

    Raises
    ------
    TypeError, ValueError
        If an array is not of float32 or float64, types differ, no operation says how many columns
        come in, an activation is unknown, too many values are needed at once, or batch_max < 1.

    Examples
    --------
    >>> plan = nn.Sequential(nn.Linear(3, 2, init="constant"), nn.Sigmoid()).freeze()
    >>> plan(np.ones((1, 3), np.float32))
    array([[0.5, 0.5]], dtype=float32)
    """

    def __cinit__(self, builder, batch_max=1024, source=None):
        cdef Record *p
        cdef int64_t width, fit
        self.batch_max = whole_number(batch_max, 1, INT64_MAX, "Plan", "batch_max")
        self.source = source
        self.recorder = Recorder(builder, source is not None, False)
        p = self.recorder.record
        p.strip = min(<int64_t>self.batch_max, <int64_t>STRIP)
        width = p.starts[p.buffers]
        fit = machine.plan_strip // (width * (p.bits // 8)) if width > 0 else p.strip
        if fit >= min(p.strip, <int64_t>FEW_ROWS):
            p.strip = min(p.strip, fit)

    cdef Record *record(self) noexcept:
        return self.recorder.record

    @property
    def n_in(self):
        return self.record().n_in

    @property
    def n_out(self):
        return self.record().n_out

    @property
    def n_layers(self):
        return self.record().attentions

    @property
    def vocab_size(self):
        return self.record().vocabulary

    @property
    def max_len(self):
        return self.record().max_len

    @property
    def nbytes(self):
        return self.record().nbytes

    @property
    def row_nbytes(self):
        return self.record().starts[self.record().buffers] * (self.record().bits // 8)

    @property
    def dtype(self):
        return cnp.PyArray_DescrFromType(self.recorder.typenum)

    @property
    def address(self):
        return <uintptr_t>self.record()

    @property
    def capsule(self):
        if self.recorder.live:
            raise TypeError("Plan: a capsule holds no arrays of a model: use model.freeze()")
        plan_retain(self.record())
        return PyCapsule_New(self.record(), "fastnn.plan", release_capsule)

    def __reduce__(self):
        raise TypeError("a Plan cannot be pickled or copied: its weights are laid out for this "
                        "process; pickle the model and freeze it again")

    def __repr__(self):
        cdef const Record *p = self.record()
        tokens = f"{p.vocabulary} tokens, " if p.vocabulary else ""
        return (f"Plan({tokens}{p.n_in} -> {p.n_out}, {p.count} operations, {self.dtype}, "
                f"{p.nbytes} bytes)")

    def new_state(self, batch=1, max_len=None, *, memory=None, memory_lengths=None, dtype=None):
        """An empty `PlanState` of `batch` rows with room for max_len positions.

        Parameters
        ----------
        batch, max_len : int, optional
            Rows, and positions: those of the plan by default, and no more.
        memory : ndarray (batch, S, columns), optional
            What cross-attention attends to; needed where there is one.
        memory_lengths : integers (batch,), optional
            How many positions of each row's memory count, the first so many; all by default.
        dtype : str, optional
            How keys and values are kept: "bf16" or "int8", see docs/low-precision.md.

        Raises
        ------
        TypeError
            If the plan has no steps, memory is missing or one too many, or of another type.
        ValueError
            If a number is out of range or a shape does not fit.
        """
        return PlanState(self, batch, max_len, memory, memory_lengths, dtype)

    def new_cache(self, batch, max_len=None, *, dtype=None):
        """`new_state`, by the name that models have for it."""
        return PlanState(self, batch, max_len, None, None, dtype)

    def step(self, ids, state, lengths=None, *, out=None):
        """The logits (B, n_out) of what comes after ids (B, n), which join the state.

        Parameters
        ----------
        ids : ndarray of integers
        state : PlanState
            Of this plan; used by one thread at a time.
        lengths : integers (B,), optional
            How many of the n ids each row brings, the first so many, at least 1; all by default.
        out : ndarray, shape (B, n_out), C-contiguous, optional

        Raises
        ------
        TypeError
            If ids or lengths are no integers, or out is of another type.
        ValueError
            If a shape does not fit, a length is out of range, there is no room, or the
            state is another plan's. The state is as before then, as after the next.
        IndexError
            If an id is out of range.
        RuntimeError
            If the state is in use by another thread.
        """
        tokens = int64_array(ids, "step", "ids")
        taken = None if lengths is None else integers(lengths, "step", "lengths")
        if not isinstance(state, PlanState):
            raise TypeError("step: state must be one that new_cache or new_state returned, "
                            f"got {given(state)}")
        cdef PlanState held = <PlanState>state
        held.lock("step")
        try:
            if held.plan is not self:
                held.move(self)
            return self.step_locked(held.record, tokens, taken, out)
        finally:
            unlock_state(held.record)

    cdef object step_locked(self, State *s, cnp.ndarray ids, cnp.ndarray taken, object out):
        cdef const Record *p = self.record()
        cdef const int64_t *counts = NULL
        cdef cnp.ndarray y
        cdef int64_t n
        cdef int status
        if (cnp.PyArray_NDIM(ids) != 2 or cnp.PyArray_DIM(ids, 0) != s.batch
                or cnp.PyArray_DIM(ids, 1) < 1):
            raise ValueError(f"step: ids must be ({s.batch}, n) with n at least 1, "
                             f"got {np.shape(ids)}")
        n = cnp.PyArray_DIM(ids, 1)
        if taken is not None:
            check_lengths(taken, "step", "lengths", s.batch, 1, n)
            counts = <const int64_t*>cnp.PyArray_DATA(taken)
        y = output(out, "step", self.recorder.typenum, (s.batch, p.n_out))
        cdef void *py = cnp.PyArray_DATA(y)
        cdef const int64_t *numbers = <const int64_t*>cnp.PyArray_DATA(ids)
        with nogil:
            status = step_locked(p, s, numbers, n, counts, py)
        if status == 2:
            refuse_step(p, s, ids, n, taken)
        check_status(status, "step")
        return y

    def __call__(self, x, memory=None, *, lengths=None, memory_lengths=None, out=None):
        """The output for x.

        Parameters
        ----------
        x : ndarray, shape (..., n_in), of the plan's type, any strides
            With attention (B, T, n_in), or integers (B, T) where the plan begins with an embedding.
            Sequences one after the other, without padding, are (R, n_in) or integers (R,).
        memory : ndarray (B, S, columns), optional
            What cross-attention attends to.
        lengths : integers (B,), optional
            How many positions of each row may be attended to, the first so many; those of
            sequences one after the other, whose sum is R.
        memory_lengths : integers (B,), optional
            The same of memory.
        out : ndarray, C-contiguous, optional
            Where to write; must not overlap x.

        Raises
        ------
        TypeError
            If an argument is of another type, missing or one too many, or the plan has `step`.
        ValueError
            If a shape does not fit, a number is out of range, x is longer than max_len, or out is
            read-only, not C-contiguous or overlaps x.
        """
        cdef const Record *p = self.record()
        if p.sequences:
            return self.call_sequences(x, memory, lengths, memory_lengths, out)
        if memory is not None or lengths is not None or memory_lengths is not None:
            raise TypeError("Plan: a plan of rows takes x alone")
        return self.call_rows(x, out)

    cdef object call_rows(self, object x, object out):
        cdef const Record *p = self.record()
        cdef int typenum = self.recorder.typenum, status
        cdef cnp.ndarray a = real_like(x, typenum, "Plan", "x", "the weights"), y
        cdef cnp.npy_intp shape[64]
        cdef int i, last = cnp.PyArray_NDIM(a) - 1
        if last < 0 or cnp.PyArray_DIM(a, last) != p.n_in:
            raise ValueError(f"Plan: x must be (..., {p.n_in}), got {np.shape(a)}")
        if out is None:
            for i in range(last):
                shape[i] = cnp.PyArray_DIM(a, i)
            shape[last] = p.n_out
            y = new_array(last + 1, shape, typenum)
        else:
            y = output(out, "Plan", typenum, np.shape(a)[:last] + (p.n_out,))
            check_overlap(y, a, "Plan", "out", "x")
        a = cnp.PyArray_GETCONTIGUOUS(a)
        cdef int64_t rows = cnp.PyArray_SIZE(a) // p.n_in
        cdef const char *px = <const char*>cnp.PyArray_DATA(a)
        cdef char *py = <char*>cnp.PyArray_DATA(y)
        if rows * p.work < KEEP_GIL:
            status = run_rows(p, px, py, rows)
        else:
            with nogil:
                status = run_rows(p, px, py, rows)
        check_status(status, "Plan")
        return y

    cdef object call_sequences(self, object x, object memory, object lengths,
                               object memory_lengths, object out):
        cdef const Record *p = self.record()
        cdef int typenum = self.recorder.typenum, status
        cdef cnp.ndarray a, y, m, seen = None, seen_memory = None
        cdef Pass q
        if p.tail < p.count:
            raise TypeError("Plan: a language model's plan has `step`")
        a = int64_array(x, "Plan", "x") if p.vocabulary else real_like(x, typenum, "Plan", "x",
                                                                       "the weights")
        wanted = () if p.vocabulary else (p.n_in,)
        packed = lengths is not None and np.ndim(a) == 1 + len(wanted)
        fits = packed or np.ndim(a) == 2 + len(wanted) and a.shape[1] <= p.max_len
        if not fits or np.shape(a)[np.ndim(a) - len(wanted):] != wanted:
            columns = "" if p.vocabulary else f", {p.n_in}"
            raise ValueError(f"Plan: x must be (batch, at most {p.max_len}{columns}), "
                             f"got {np.shape(a)}")
        shape = np.shape(a)[:1 if packed else 2]
        q.batch, q.n = (1, *shape) if packed else shape
        if p.vocabulary and a.size and not 0 <= a.min() <= a.max() < p.vocabulary:
            refuse_id(a, p.vocabulary, "Plan")
        q.lengths = q.memory_lengths = q.pieces = NULL
        if packed:
            seen = pieces_of(p, lengths, q.n)
            q.pieces, q.n_pieces = <const int64_t*>cnp.PyArray_DATA(seen), len(seen)
        elif lengths is not None:
            seen = integers(lengths, "Plan", "lengths")
            check_lengths(seen, "Plan", "lengths", q.batch, 0, q.n)
            q.lengths = <const int64_t*>cnp.PyArray_DATA(seen)
        m = memory_of(p, typenum, memory, q.batch, "Plan")
        q.memory, q.memory_positions = NULL, 0
        if m is not None:
            q.memory, q.memory_positions = cnp.PyArray_DATA(m), m.shape[1]
        if memory_lengths is not None:
            seen_memory = integers(memory_lengths, "Plan", "memory_lengths")
            check_lengths(seen_memory, "Plan", "memory_lengths", q.batch, 0, q.memory_positions)
            q.memory_lengths = <const int64_t*>cnp.PyArray_DATA(seen_memory)
        y = output(out, "Plan", typenum, shape + (p.n_out,))
        if out is not None:
            check_overlap(y, a, "Plan", "out", "x")
        a = cnp.PyArray_GETCONTIGUOUS(a)
        cdef void *py = cnp.PyArray_DATA(y)
        q.ids = <const int64_t*>cnp.PyArray_DATA(a)
        with nogil:
            status = encode(p, &q, q.ids, py)
        check_status(status, "Plan")
        return y
