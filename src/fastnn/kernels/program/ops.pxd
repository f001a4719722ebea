"""A network as data: operations on rows, and the record that holds them.

Operation i reads and writes buffers. A buffer is virtual: the frame of a run says where its rows
lie, so that one list serves every schedule (run.pyx, keep.pyx, step.pyx).
"""
from libc.stdint cimport int64_t

cdef enum Kind:
    DENSE           # y = act(x weight + bias)
    ACTIVATION      # y = act(x)
    SOFTMAX
    LOG_SOFTMAX
    NORM            # h = x + residual, y = norm(h) weight + bias; flag: RMS norm; factor: eps
    PRELU           # weight: the slopes; flag: one for all columns
    GATE            # y = act(first half of x) second half
    NORM_HEADS      # y = x = q | k | v with q and k RMS-normalized; weight: of q, bias: of k's;
                    # flag: over all heads together, else each head by itself
    ADD             # y = x + residual
    COPY            # y = x
    EMBED           # y = factor weight[ids]
    POSITIONS       # y = x + weight[position]
    ATTENTION       # y = attention within x = q | k | v; flag: causal; window: 0 or reach;
                    # bias: of scores by distance, (heads, 2 max_len - 1)
    CROSS           # y = attention of the queries x to the memory weight + bias = k | v
    LAST            # y = each sequence's last row of x

cdef enum Format:
    PLAIN           # (n_in, n_out) in C order, the layer's own array
    PACKED          # what pack_whole of gemm/loops.pxd wrote
    BF16            # 16 and 8 bits: what low_pack of gemm/low.pxd wrote
    INT8
    INT8_G32

cdef enum:
    INPUT = 0               # the buffer of x, which is never written
    MOST_BUFFERS = 132      # a frame lies on the stack
    MOST_KEPT = 64          # operations of a program that keeps its outputs for backward

cdef struct Op:
    Kind kind
    int activation
    Format format
    int x, y                # buffers
    int residual, h         # -1: none
    int64_t n_in, n_out
    const void *weight      # with strides rsw, csw where it is a matrix of a product
    int64_t rsw, csw
    const void *bias
    void *dweight           # what backward adds to
    void *dbias
    bint flag
    double factor
    int64_t heads, kv_heads, size
    int64_t n_memory        # columns of the memory of CROSS
    int64_t cache           # columns that the attentions, or crosses, before this one keep
    int64_t cache_heads     # and their heads
    const void *table       # of rotary positions, or NULL
    int64_t turned          # columns of a head that rotate
    int64_t window

cdef struct Record:
    int64_t holders
    int bits                # 32 or 64: the real type
    int64_t most_rows       # rows that go through a step together
    int count
    int tail                # the operation LAST, or count
    int buffers
    int output              # the buffer of y
    int64_t n_in, n_out
    Op *ops
    int64_t *starts         # where a buffer begins, for one row; behind the last: the sum
    int64_t strip           # rows of a strip at most
    int64_t nbytes          # all in all
    double work             # flops of a row
    int64_t max_len         # positions
    int64_t vocabulary      # of EMBED, 0 without
    bint sequences          # some operation is not by rows
    int attentions, crosses
    int64_t keys, memory    # columns of keys of all attentions, and of keys and values of memory
    int64_t key_heads       # heads of keys of all attentions
    int owned_count
    void **owned            # copies of weights

cdef struct State:
    # What a program has read so far, for attention of later positions.
    int64_t busy
    const Record *plan
    int64_t batch, max_len, chunk
    int64_t *lengths        # positions held, of each row
    int64_t *starts         # where each row's next position goes
    int64_t *visible        # (batch, chunk): keys that a query may see
    int format              # of keys and values: see attention/decode.pxd
    void *keys              # of each attention (batch, kv_heads, max_len, size)
    void *values
    void *memory            # of each cross-attention (batch, memory_positions, k | v)
    int64_t memory_positions
    int64_t *memory_lengths # of each row
    int64_t *origins        # which row of the first memory a row has

cdef struct Pass:
    # `n` positions of each of `batch` sequences on their way through the operations.
    const Record *plan
    int64_t batch, n
    const int64_t *ids      # (batch, call)
    int64_t call            # positions of the whole call
    int64_t first           # which of them is the first of this pass
    const int64_t *taken    # how many positions of a row the call brings, or NULL: all
    const int64_t *lengths  # keys that may be seen, with strides along batch and position, or NULL
    int64_t lengths_strides[2]
    int64_t keys            # how many there are
    int64_t max_len         # of positions
    const int64_t *pieces   # or NULL; else batch is 1, and these are the lengths of n_pieces
    int64_t n_pieces        # sequences, which stand one after the other
    State *state            # or NULL: keys and values are those of the rows themselves
    const void *memory      # (batch, memory_positions, n_memory) where there is no state
    int64_t memory_positions
    const int64_t *memory_lengths

cdef struct Frame:
    # Where the buffers of a run are.
    int64_t rows
    void *at[MOST_BUFFERS]
    int64_t rsx, csx        # strides of x; those of other buffers are n, 1
    void **preacts          # arguments of the activations of DENSE to be kept, or NULL
    const Pass *sequences   # or NULL: rows have nothing to do with one another
