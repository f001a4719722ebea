"""A model of the machine: caches, multiply-adds per cycle and cores, found once, at import.

Choices that change no bit follow from it: blocks, paths, non-temporal stores, minimum work per
thread. What decides bits is fixed (CHAIN, blocks of keys, parts of sums). FASTNN_CACHE_SIZES and
FASTNN_FMA_PER_CYCLE replace what is found, so that another machine's choices can be run here.
"""
import os
from time import perf_counter_ns

from . import dispatch
from .caches import data_caches, forced_caches
from .cpus import default_threads
from .dispatch cimport FASTNN_ACT_NONE, gemm_tile, tile_columns, tile_rows, vector_lanes
from .memory cimport give, take

cdef enum:
    # Cycles of work for which a thread pays: 3 us at 3.9 GHz, about what it costs to start a team.
    CYCLES = 11_700
    TERMS = 96          # k of the products that are timed: both operands fit the L1 cache
    CALLS = 16          # products per timing


cdef int64_t time_tiles(int64_t m, int64_t n, const float *a, const float *b, float *c):
    """Return the least of eight timings of CALLS tiles m x n, in ns."""
    cdef int64_t best = 1 << 62, start, i, j
    for i in range(8):
        start = perf_counter_ns()
        for j in range(CALLS):
            gemm_tile(m, n, TERMS, <float>1, True, a, 1, tile_rows(a), b, n, <float>0, c, n, 1,
                      NULL, FASTNN_ACT_NONE, NULL)
        best = min(best, perf_counter_ns() - start)
    return max(best, 1)


cdef double measure_fma() except? -1:
    """Return the float32 multiply-adds of a cycle: a power of two of vectors.

    A tile is compared with one vector, whose chain of multiply-adds takes a latency of 4 cycles
    each (3 of an addition, on some, without FMA). No clock rate is needed. Takes about 0.1 ms.
    """
    cdef int64_t lanes = vector_lanes(<float*>NULL), nr = tile_columns(<float*>NULL)
    cdef int64_t mr = tile_rows(<float*>NULL), i
    cdef float *data = <float*>take((TERMS * (mr + nr) + mr * nr) * <int64_t>sizeof(float))
    cdef double rate
    if data is NULL:
        raise MemoryError("fastnn: no memory to import it")
    for i in range(TERMS * (mr + nr) + mr * nr):
        data[i] = 1
    time_tiles(mr, nr, data, data + TERMS * mr, data + TERMS * (mr + nr))   # wake wide vectors
    rate = <double>time_tiles(1, lanes, data, data + TERMS * mr, data + TERMS * (mr + nr))
    rate *= mr * nr / lanes / 4
    rate /= time_tiles(mr, nr, data, data + TERMS * mr, data + TERMS * (mr + nr))
    give(data)
    return lanes * (0.5 if rate < 0.71 else 1 if rate < 1.42 else 2 if rate < 2.83 else 4)


def _forced_fma():
    """Return FASTNN_FMA_PER_CYCLE, or None if it is not set; ImportError if it is not a rate."""
    text = os.environ.get("FASTNN_FMA_PER_CYCLE", "")
    if not text:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 1 <= rate <= 1024:
        raise ImportError(
            f"FASTNN_FMA_PER_CYCLE={text:.80} must be the float32 multiply-adds of a core and "
            "cycle, from 1 to 1024: 32 for two units of AVX-512, 16 for one or for AVX2"
        )
    return rate


cdef void choose(Machine *m) noexcept nogil:
    """Derive the choices; docs/tuning.md has the measurements behind the factors."""
    m.flops_grain = 2 * m.fma_per_cycle * CYCLES
    m.math_grain = 256 * m.fma_per_cycle
    # An L2 cache supplies about 32 bytes a cycle, whatever the vectors.
    m.pass_grain = 32_768
    m.read_grain = 100_000
    m.block_a = m.l2 // 2
    m.row_of_b = min(<int64_t>16 << 10, max(<int64_t>2 << 10, m.l3 // 2048))
    m.split_tiles = max(<int64_t>8, 2 * m.cores)
    m.strip_of_row = max(<int64_t>4 << 10, m.l1 // 3)
    m.plan_strip = max(<int64_t>16 << 10, min(<int64_t>256 << 10, m.l2 // 16))
    m.plan_shares = max(<int64_t>8, m.cores)
    m.fetched_from = m.l3
    m.streamed = m.l3 // 4
    m.streamed_norms = m.l3 // 8
    m.streamed_rows = m.l3


cdef void assume(
    int64_t l1, int64_t l2, int64_t l3, int64_t cores, double fma_per_cycle
) noexcept nogil:
    machine.l1, machine.l2, machine.l3 = l1, l2, l3
    machine.cores, machine.fma_per_cycle = cores, fma_per_cycle
    choose(&machine)


_caches = forced_caches() or data_caches()
_rate = _forced_fma()
assume(
    _caches.l1, _caches.l2, _caches.l3,
    default_threads(1 << 20, environment=False)["num_threads"],
    measure_fma() if _rate is None else _rate,
)


def build_info():
    """Describe this build of fastnn, the instruction set it chose, and the machine it found.

    Returns
    -------
    dict
        ``version``, ``compiler``, ``cflags``, ``openmp`` (False if built without it),
        ``openmp_version`` (the specification's date, or None), ``isa`` (selected), ``isa_float``
        (the set that decides the bits of float32 and float64: others improve products of low
        precision alone), ``isa_found`` (on this CPU), ``isa_compiled``, ``tile_f32`` and
        ``tile_f64`` (rows and columns of a GEMM tile), ``python`` and ``numpy`` (their versions),
        and ``machine``, a dict: ``cores`` that this process may use, bytes of ``l1``, ``l2`` and
        ``l3`` (the last level) for a core, and their ``caches_source``; ``vector_bytes``;
        ``fma_per_cycle`` (float32 multiply-adds) and its ``fma_source``; and ``choices``, the
        thresholds that follow (docs/tuning.md).

    Examples
    --------
    >>> fastnn.build_info()["version"] == fastnn.__version__
    True
    """
    facts = dict(machine)
    names = ("cores", "l1", "l2", "l3", "fma_per_cycle")
    return {
        **dispatch.build_info(),
        "machine": {
            **{name: facts.pop(name) for name in names},
            "vector_bytes": 4 * vector_lanes(<float*>NULL),
            "caches_source": _caches.source,
            "fma_source": "measured" if _rate is None else "FASTNN_FMA_PER_CYCLE",
            "choices": facts,
        },
    }
