"""Choose the instruction set once, at import.

It is the widest that was compiled, that the CPU has and that FASTNN_ISA allows; without FASTNN_ISA,
the widest that is not slower than those before it.
"""
import os
import sys

cdef extern from "dispatch.h":
    struct fastnn_set:
        const char *name
        int (*cpu_has)()
        const fastnn_leaves_f32 *f32
        const fastnn_leaves_f64 *f64
    const fastnn_set fastnn_sets[]
    int FASTNN_SET_COUNT
    void fastnn_inherit_f32(fastnn_leaves_f32 *to, const fastnn_leaves_f32 *source)
    void fastnn_inherit_f64(fastnn_leaves_f64 *to, const fastnn_leaves_f64 *source)
    int FASTNN_OPENMP
    const char *FASTNN_COMPILER
    const char *FASTNN_CFLAGS


def _compiled():
    return tuple([fastnn_sets[i].name.decode() for i in range(FASTNN_SET_COUNT)])


def _found():
    sets = range(FASTNN_SET_COUNT)
    return tuple([fastnn_sets[i].name.decode() for i in sets if fastnn_sets[i].cpu_has() != 0])


def _slow():
    sets = range(FASTNN_SET_COUNT)
    return tuple([fastnn_sets[i].name.decode() for i in sets if fastnn_sets[i].cpu_has() < 0])


def _choose(str cap):
    """Return the index of the table to use; ImportError if FASTNN_ISA names an unavailable one."""
    if cap and cap not in isa_compiled:
        raise ImportError(
            f"FASTNN_ISA={cap:.80} is not an instruction set of this build of fastnn, "
            f"which has {', '.join(isa_compiled)}"
        )
    if cap and cap not in isa_found:
        raise ImportError(
            f"FASTNN_ISA={cap} asks for more than this CPU has: {', '.join(isa_found)}"
        )
    return isa_compiled.index(cap or [isa for isa in isa_found if isa not in isa_slow][-1])


isa_compiled = _compiled()
isa_found = _found()
isa_slow = _slow()
cdef int _chosen = _choose(os.environ.get("FASTNN_ISA", ""))
for _set in range(_chosen + 1):
    fastnn_inherit_f32(&leaves_f32, fastnn_sets[_set].f32)
    fastnn_inherit_f64(&leaves_f64, fastnn_sets[_set].f64)
    if fastnn_sets[_set].f32.lanes:     # it leaves nothing empty
        isa_float = isa_compiled[_set]
isa = isa_compiled[_chosen]


def build_info():
    """Return what `machine.build_info` reports of the build."""
    import numpy
    from ..._version import __version__
    return {
        "version": __version__,
        "compiler": FASTNN_COMPILER.decode(),
        "cflags": FASTNN_CFLAGS.decode(),
        "openmp": bool(FASTNN_OPENMP),
        "openmp_version": FASTNN_OPENMP or None,
        "isa": isa,
        "isa_float": isa_float,
        "isa_found": isa_found,
        "isa_compiled": isa_compiled,
        "tile_f32": (tile_rows(<float*>NULL), tile_columns(<float*>NULL)),
        "tile_f64": (tile_rows(<double*>NULL), tile_columns(<double*>NULL)),
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
    }
