"""The only place that decides the number of threads.

It is the smallest of: the limit (`num_threads` in this thread, else `set_num_threads`, else
`cpus.default_threads`), the OpenMP maximum if it was lowered since import (threadpoolctl, joblib,
`omp_set_num_threads`), and OMP_THREAD_LIMIT. It is 1 inside another parallel region, and in a
forked child, where libgomp's pool holds threads that no longer exist. `omp_set_num_threads` is
never called.
"""
import warnings
from threading import get_ident

from .cpus import default_threads
from .scalars cimport integer, refuse_value

cdef extern from "team.h" nogil:
    int in_parallel "fastnn_in_parallel"() noexcept
    int omp_max_threads "fastnn_omp_max_threads"() noexcept
    int omp_thread_limit "fastnn_omp_thread_limit"() noexcept

cdef extern from * nogil:
    """
    /* The limits, and the flag set by a fork. */
    static int fastnn_limit = 1;              /* of the process; read while others set it */
    static __thread int fastnn_own_limit = 0; /* of this thread; 0: none */
    static int fastnn_forked = 0;
    static int fastnn_get_limit(void) { return __atomic_load_n(&fastnn_limit, __ATOMIC_RELAXED); }
    static void fastnn_set_limit(int n) { __atomic_store_n(&fastnn_limit, n, __ATOMIC_RELAXED); }

    #if defined(__unix__) || defined(__APPLE__)
    #include <pthread.h>
    static void fastnn_after_fork(void) { fastnn_forked = 1; }
    static int fastnn_watch_forks(void) { return pthread_atfork(0, 0, fastnn_after_fork); }
    #else
    static int fastnn_watch_forks(void) { return 0; }
    #endif
    """
    int limit_of_all "fastnn_get_limit"() noexcept
    void set_limit_of_all "fastnn_set_limit"(int n) noexcept
    int _own_limit "fastnn_own_limit"
    int _forked "fastnn_forked"
    int watch_forks "fastnn_watch_forks"() noexcept

cdef enum:
    MOST_THREADS = 1024  # larger requests are clamped
    PATIENCE = 64        # calls; ending and starting a thread costs about as much as one team

# True if the runtime's threads spin for long and the user asked neither for that nor for a number
# of threads: beside busy neighbors one thread is then best (waiting.py).
cdef bint _spins_on = False
_spin = (None, "openmp")

cdef int _omp_max_at_import


cdef int begin(int limit) noexcept nogil:
    global _omp_max_at_import
    _omp_max_at_import = omp_max_threads()
    set_limit_of_all(limit)
    return watch_forks()


_default = default_threads(omp_max_threads())
_source = _default["source"]
if begin(min(_default["num_threads"], MOST_THREADS)) != 0:
    raise ImportError("fastnn: pthread_atfork failed, so a forked child could hang")


cdef int max_threads() noexcept nogil:
    if _forked or in_parallel():
        return 1
    cdef int n = _own_limit if _own_limit > 0 else limit_of_all()
    cdef int omp_max = omp_max_threads()
    if omp_max < _omp_max_at_import and omp_max < n:
        n = omp_max
    return min(n, omp_thread_limit())


# The size of the calling thread's team, and how many calls in a row paid for half of it at most.
cdef extern from "neighbors.h" nogil:
    bint crowded "fastnn_crowded"() noexcept

cdef extern from * nogil:
    """
    static __thread int fastnn_pool = 0, fastnn_patience = 0;
    """
    int _pool "fastnn_pool"
    int _patience "fastnn_patience"


cdef int team_for(double grains) noexcept nogil:
    """Return a team whose threads have about a grain of work each, but seldom another than before.

    libgomp ends threads that a smaller team leaves out, and starts others for the next larger one.
    So a team shrinks only after PATIENCE calls that want half of it or less; until then such a call
    takes all of the threads, or one if they do not pay. In grains, the work is w, the time of T
    threads w / T + 1 + (T - 2) / 16: what starting them costs grows with their number
    (docs/tuning.md).
    """
    global _pool, _patience
    cdef int most = max_threads(), wanted
    if _spins_on and most > 1 and crowded():
        return 1
    if most <= 2:
        return most
    wanted = <int>min(<double>most, grains)
    _pool = min(_pool, most)
    if 2 * wanted > _pool:
        _pool, _patience = max(_pool, wanted), 0
        return _pool
    _patience += 1
    if _patience > PATIENCE:
        _pool, _patience = wanted, 0
        return wanted
    return _pool if grains * (1 - 1.0 / _pool) > 1 + (_pool - 2) / 16.0 else 1


cdef int set_thread_limit(int n) noexcept nogil:
    global _own_limit
    cdef int before = _own_limit
    if n >= 0:
        _own_limit = min(n, MOST_THREADS)
    return before


cdef int _checked(n, str op) except -1:
    """Return the count as an int; -1 means the default.

    Warns in a forked child, which always runs on one thread.
    """
    n = integer(n, op, "n")
    if n == -1:
        return min(_default["num_threads"], MOST_THREADS)
    if n < 1:
        refuse_value(n, "at least 1 (or -1 for the default)", op, "n")
    if _forked and n > 1:
        warnings.warn(
            "this process was forked: fastnn runs on one thread here "
            "(use spawn or forkserver for more)",
            RuntimeWarning, 3
        )
    return min(n, MOST_THREADS)


def set_num_threads(n):
    """Set the number of threads that the kernels of this process use.

    Parameters
    ----------
    n : int
        At least 1, and may exceed the number of cores; -1 restores the default.

    Raises
    ------
    TypeError, ValueError
        If n is not an int, or is 0 or below -1.

    Examples
    --------
    >>> before = fastnn.get_num_threads()
    >>> fastnn.set_num_threads(1)
    >>> fastnn.get_num_threads()
    1
    >>> fastnn.set_num_threads(before)
    """
    global _source
    set_limit_of_all(_checked(n, "set_num_threads"))
    _source = _default["source"] if n == -1 else "set_num_threads"


def get_num_threads():
    """Return the number of threads that a large kernel called from this thread would use.

    Examples
    --------
    >>> with fastnn.num_threads(1):
    ...     print(fastnn.get_num_threads())
    1
    """
    return max_threads()


class num_threads:
    """Limit the kernels that this thread calls inside a ``with`` block to n threads.

    Parameters
    ----------
    n : int
        As for `set_num_threads`. Blocks nest; other threads are not affected, and may use the
        same object.

    Examples
    --------
    >>> with fastnn.num_threads(1):
    ...     print(fastnn.get_num_threads())
    1
    """

    def __init__(self, n):
        self.n = n
        self._outer = {}    # thread -> the limits to restore, innermost last

    def __enter__(self):
        global _own_limit
        cdef int n = _checked(self.n, "num_threads")
        self._outer.setdefault(get_ident(), []).append(_own_limit)
        _own_limit = n
        return self

    def __exit__(self, exc_type, exc, tb):
        global _own_limit
        outer = self._outer[get_ident()]
        _own_limit = outer.pop()
        if not outer:
            del self._outer[get_ident()]


def note_spin(count, source):
    """Take note of how long the threads spin: `waiting.load_openmp` calls it."""
    global _spin, _spins_on
    _spin = (count, source)
    _spins_on = count is None and source == "openmp" and _default["source"] == "cpus"


def _team_for(double grains):
    """Return the team that the next kernel of so many grains of work would get, for tests."""
    return 1 if grains < 2 else team_for(grains)


def thread_info():
    """Report how many threads run here and why.

    Returns
    -------
    dict
        ``num_threads`` (as `get_num_threads`), ``limit``, ``source`` of the limit (an environment
        variable, "cpus", "set_num_threads" or "num_threads"), ``forked``, ``omp_max_threads``,
        ``omp_thread_limit``, ``spin_count`` (iterations for which a waiting thread of libgomp spins
        before it sleeps, None if fastnn did not set it), ``spin_source`` ("fastnn", an environment
        variable, or "openmp" if the library was loaded before fastnn), and the counts behind the
        default: ``affinity``, ``cgroup_quota`` (CPUs, or None), ``physical_cores``.

    Examples
    --------
    >>> sorted(fastnn.kernels.thread_info())[:3]
    ['affinity', 'cgroup_quota', 'forked']
    """
    return {
        "num_threads": max_threads(),
        "limit": _own_limit if _own_limit > 0 else limit_of_all(),
        "source": "num_threads" if _own_limit > 0 else _source,
        "forked": bool(_forked),
        "omp_max_threads": omp_max_threads(),
        "omp_thread_limit": omp_thread_limit(),
        "spin_count": _spin[0],
        "spin_source": _spin[1],
        **{key: _default[key] for key in ("affinity", "cgroup_quota", "physical_cores")},
    }
