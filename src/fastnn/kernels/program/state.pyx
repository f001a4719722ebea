"""What a frozen program of sequences has read so far, as an object."""
cimport numpy as cnp
from libc.stdint cimport INT64_MAX, int64_t, uintptr_t

import numpy as np

from ..ground.arrays cimport check_contiguous, int64_array, real_like, shaped_output
from ..ground.dispatch cimport FASTNN_BF16
from ..ground.scalars cimport choice, whole_number
from ..ground.scalars import given
from .ops cimport CROSS, Record, State
from .plan cimport Plan
from .step cimport (kept, lock_state, move_state, new_state, select_rows, state_release, truncate,
                    unlock_state)

cnp.import_array()

cdef tuple KEPT = ("bf16", "int8")


cdef cnp.ndarray integers(object x, str op, str name):
    """An array or sequence of integers as contiguous int64."""
    try:
        array = np.asanyarray(x)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be integers, got {given(x)}") from None
    return int64_array(array, op, name)


cdef str described(cnp.ndarray x):
    """Integers that were refused: their range if there are any, or their shape."""
    if cnp.PyArray_NDIM(x) != 1 or cnp.PyArray_SIZE(x) == 0:
        return f"an array of shape {np.shape(x)}"
    return f"{cnp.PyArray_SIZE(x)} from {x.min()} to {x.max()}"


cdef int check_lengths(cnp.ndarray lengths, str op, str name, int64_t batch, int64_t least,
                       int64_t most) except -1:
    if (np.shape(lengths) != (batch,)
            or (batch and not least <= lengths.min() <= lengths.max() <= most)):
        raise ValueError(f"{op}: {name} must be {batch} integers from {least} to {most}, got "
                         f"{described(lengths)}")
    return 0


cdef int refuse_id(cnp.ndarray ids, int64_t vocabulary, str op) except -1:
    outside = np.argwhere((ids < 0) | (ids >= vocabulary)).tolist()
    if not outside:
        return 0
    place = tuple(outside[0])
    raise IndexError(f"{op}: the id {ids[place]} at {place} is not from 0 to {vocabulary - 1}")


cdef cnp.ndarray memory_of(const Record *p, int typenum, object memory, int64_t batch, str op):
    cdef int64_t width = 0
    cdef int i
    if (memory is None) != (p.crosses == 0):
        has = "needs a memory" if p.crosses else "takes no memory"
        raise TypeError(f"{op}: this plan {has}")
    if memory is None:
        return None
    for i in range(p.count):
        if p.ops[i].kind == CROSS:
            width = p.ops[i].n_memory
    m = real_like(memory, typenum, op, "memory", "the weights")
    if np.ndim(m) != 3 or len(m) != batch or np.shape(m)[2] != width:
        raise ValueError(f"{op}: memory must be ({batch}, positions, {width}), got {np.shape(m)}")
    return cnp.PyArray_GETCONTIGUOUS(m)


cdef cnp.ndarray pieces_of(const Record *p, object lengths, int64_t rows):
    """The lengths of sequences that stand one after the other."""
    if p.crosses:
        raise ValueError("Plan: with cross-attention sequences cannot be one after the other")
    pieces = integers(lengths, "Plan", "lengths")
    check_lengths(pieces, "Plan", "lengths", len(pieces) if np.ndim(pieces) else 0, 1, p.max_len)
    if pieces.sum() != rows:
        raise ValueError(f"Plan: lengths must add up to the {rows} rows of x, got {pieces.sum()}")
    return pieces


cdef cnp.ndarray output(object out, str op, int typenum, tuple shape):
    """Where to write an array of this shape."""
    cdef cnp.npy_intp sizes[64]
    cdef int i
    for i in range(len(shape)):
        sizes[i] = shape[i]
    cdef cnp.ndarray y = shaped_output(out, op, "out", "the weights", typenum, len(shape), sizes,
                                       "for this x or state")
    check_contiguous(y, op, "out")
    return y


cdef int refuse_step(const Record *p, const State *s, cnp.ndarray ids, int64_t n,
                     cnp.ndarray taken) except -1:
    """Say which number was out of range."""
    cdef int64_t b, count
    for b in range(s.batch):
        count = n if taken is None else taken[b]
        if s.lengths[b] + count > s.max_len:
            raise ValueError(f"step: row {b} holds {s.lengths[b]} positions and {count} more are "
                             f"too many for {s.max_len}")
    if taken is not None:
        ids = np.where(np.arange(n) < taken[:, None], ids, 0)
    return refuse_id(ids, p.vocabulary, "step")


cdef class PlanState:
    """The keys and values of the positions so far, for `Plan.step`; made by `Plan.new_state`.

    One thread at a time may use it: a method that is called while another one runs raises
    RuntimeError.

    Attributes
    ----------
    lengths : ndarray of int64 (B,)
        Positions held, of each row.
    max_len : int
        Positions that there is room for.
    nbytes : int
        Of the keys and values.
    address : int
        For C, as `Plan.address`; the same as long as this object lives.

    Examples
    --------
    >>> model = fastnn.models.TransformerLM(65, d_model=16, n_heads=2, n_layers=1, max_len=8, rng=0)
    >>> plan = model.freeze()
    >>> state = plan.new_state(1)
    >>> plan.step(np.array([[4, 5, 7]]), state).shape
    (1, 65)
    """

    def __cinit__(self, Plan plan not None, batch, max_len=None, memory=None,
                  memory_lengths=None, dtype=None):
        cdef const Record *p = plan.record()
        cdef int64_t rows = whole_number(batch, 0, INT64_MAX, "new_state", "batch")
        cdef int64_t room = p.max_len, positions = 0
        cdef int format = 0
        cdef const int64_t *counts = NULL
        cdef void *data = NULL
        cdef cnp.ndarray m, seen
        if p.tail == p.count or p.vocabulary == 0:
            raise TypeError("new_state: an encoder's plan has no steps")
        if max_len is not None:
            room = whole_number(max_len, 1, p.max_len, "new_state", "max_len")
        if dtype is not None:
            format = FASTNN_BF16 + choice(dtype, KEPT, "new_state", "dtype")
            if p.bits != 32:
                raise TypeError(f"new_state: dtype {dtype!r} needs a plan of float32")
        m = memory_of(p, plan.recorder.typenum, memory, rows, "new_state")
        if m is not None:
            positions, data = m.shape[1], cnp.PyArray_DATA(m)
        if memory_lengths is not None:
            seen = integers(memory_lengths, "new_state", "memory_lengths")
            check_lengths(seen, "new_state", "memory_lengths", rows, 0, positions)
            counts = <const int64_t*>cnp.PyArray_DATA(seen)
        self.plan = plan
        with nogil:
            self.record = new_state(p, rows, room, format, data, positions, counts)
        if self.record is NULL:
            raise MemoryError(f"new_state: no memory for {rows} rows (batch) of {room} positions")

    def __dealloc__(self):
        if self.record is not NULL:
            state_release(self.record)

    cdef int lock(self, str op) except -1:
        if not lock_state(self.record):
            raise RuntimeError(f"{op}: this state is in use by another thread; each thread needs a "
                               "state of its own")
        return 0

    cdef int move(self, Plan plan) except -1:
        """Go on with another plan of the same model."""
        if plan.source is None or plan.source is not self.plan.source:
            raise ValueError("step: this is a state of another plan or model")
        if move_state(self.record, plan.record()):
            raise ValueError("step: the sizes of the model changed since the state was made: make "
                             "a new one")
        self.plan = plan
        return 0

    @property
    def lengths(self):
        self.lock("lengths")
        cdef int64_t b
        found = np.empty(self.record.batch, np.int64)
        for b in range(self.record.batch):
            found[b] = self.record.lengths[b]
        unlock_state(self.record)
        return found

    @property
    def max_len(self):
        return self.record.max_len

    @property
    def nbytes(self):
        return 2 * kept(self.record)

    @property
    def address(self):
        return <uintptr_t>self.record

    def __len__(self):
        return self.record.batch

    def __reduce__(self):
        raise TypeError("a PlanState cannot be pickled or copied: keep the tokens, and step a new "
                        "state with them again")

    def truncate(self, length=0):
        """Forget all but the first `length` positions of every row."""
        cdef int64_t kept = whole_number(length, 0, INT64_MAX, "truncate", "length")
        self.lock("truncate")
        truncate(self.record, kept)
        unlock_state(self.record)

    def select(self, rows):
        """Keep these rows of the batch, in this order: some may be missing or come twice."""
        cdef cnp.ndarray chosen = integers(rows, "select", "rows")
        cdef const int64_t *of = <const int64_t*>cnp.PyArray_DATA(chosen)
        cdef int64_t count = cnp.PyArray_SIZE(chosen)
        cdef int status
        self.lock("select")
        try:
            if (cnp.PyArray_NDIM(chosen) != 1 or count == 0 or chosen.min() < 0
                    or chosen.max() >= self.record.batch):
                raise ValueError(f"select: rows must be integers from 0 to {self.record.batch - 1},"
                                 f" at least one, got {described(chosen)}")
            with nogil:
                status = select_rows(self.record, of, count)
            if status:
                raise MemoryError(f"select: no memory for {count} rows")
        finally:
            unlock_state(self.record)
