"""Elementwise losses with their gradients, from one pass over the data.

    mse                (p - t)^2
                       slope 2 (p - t)
    l1                 |p - t|
                       slope sign(p - t), 0 at 0
    huber              (p - t)^2 / 2 up to delta, delta (|p - t| - delta / 2) beyond (Huber 1964)
                       slope p - t, clamped to +-delta
    bce_with_logits    w t log(1 + exp(-x)) + (1 - t) log(1 + exp(x))
                       slope (1 - t) sigmoid(x) - w t sigmoid(-x)

*Dive into Deep Learning*, sections 3.1.1.2 and 5.7. The two terms of BCE have the same sign, so a
small loss is as accurate as a large one: within 8 eps. Losses are summed in blocks of fixed size,
over short chunks in the real type and over the chunks in double, in a fixed order, so the bits do
not depend on the number of threads. The functions on arrays are in elementwise_arrays.pyx.
"""
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from ..ground.dispatch cimport (
    FASTNN_LOSS_BCE, FASTNN_LOSS_HUBER, FASTNN_LOSS_MSE, loss_run, real,
)
from ..ground.machine cimport machine, past_caches
from ..ground.memory cimport give, take
from ..ground.scalars cimport is_nonnegative, is_positive
from ..ground.threads cimport run_team, share, threads_for

cdef enum:
    BLOCK = 2048        # elements summed separately; their weights are laid out on the stack


cdef double sum_in_order(int64_t n, const double *x) noexcept nogil:
    """Sum x in a fixed order: four interleaved sums, since a single one waits for each addition."""
    cdef double a = 0, b = 0, c = 0, d = 0
    cdef int64_t i
    for i in range(0, n - 3, 4):
        a += x[i]
        b += x[i + 1]
        c += x[i + 2]
        d += x[i + 3]
    for i in range(n // 4 * 4, n):
        a += x[i]
    return (a + c) + (b + d)


cdef int64_t wrong_weight(int64_t n, const real *weight) noexcept nogil:
    """Return the index of the first weight that is not finite and at least 0, or -1."""
    cdef int64_t i
    for i in range(n):
        if not is_nonnegative(weight[i]):
            return i
    return -1


cdef extern from *:
    """
    /* True if a number is below 0 or above `most`; NaN is neither. Written with vectors: this is a
     * pass over all targets, and the module is compiled for size. */
    #define OUTSIDE(name, real, integer)                                                \
        static int name(int64_t n, const real *x, real most) {                          \
            enum { LANES = 64 / sizeof(real) };                                         \
            typedef real vec __attribute__((vector_size(64)));                          \
            typedef integer mask __attribute__((vector_size(64)));                      \
            int64_t i = 0;                                                              \
            int outside = 0;                                                            \
            mask lanes = {0};                                                           \
            for (; i + LANES <= n; i += LANES) {                                        \
                vec v;                                                                  \
                memcpy(&v, x + i, sizeof(v));                                           \
                lanes |= (v < (real)0) | (v > most);                                    \
            }                                                                           \
            for (int lane = 0; lane < LANES; lane++) outside |= lanes[lane] != 0;       \
            for (; i < n; i++) outside |= (x[i] < 0) | (x[i] > most);                   \
            return outside;                                                             \
        }
    OUTSIDE(fastnn_outside_f32, float, int32_t)
    OUTSIDE(fastnn_outside_f64, double, int64_t)
    """
    bint outside_f32 "fastnn_outside_f32"(int64_t n, const float *x, float most) noexcept nogil
    bint outside_f64 "fastnn_outside_f64"(int64_t n, const double *x, double most) noexcept nogil


cdef bint any_outside(int64_t n, const real *x, real most) noexcept nogil:
    """True if any of n numbers is below 0 or above most; NaN is neither."""
    if real is float:
        return outside_f32(n, x, most)
    else:
        return outside_f64(n, x, most)


cdef int64_t wrong_target(int64_t n, const real *target, const real *weight,
                          int64_t per_weight) noexcept nogil:
    """Return the index of the first target outside 0 to 1 whose weight is not 0, or -1."""
    cdef int64_t i
    for i in range(n):
        if ((target[i] < 0 or target[i] > 1)
                and (weight is NULL or weight[i // per_weight] != 0)):
            return i
    return -1


cdef void targets_part(int team, int thread, int64_t n, const real *target,
                        double *outside) noexcept nogil:
    """Set outside[i] to 1 if a target of block i is outside 0 to 1, else to 0."""
    cdef int64_t i, first, last
    share((n + BLOCK - 1) // BLOCK, team, thread, &first, &last)
    for i in range(first, last):
        outside[i] = any_outside(min(<int64_t>BLOCK, n - i * BLOCK), target + i * BLOCK, <real>1)


cdef bint targets_fit(int team, int64_t n, const real *target, const real *weight,
                      int64_t per_weight, double *scratch) noexcept nogil:
    """True if all targets of nonzero weight are from 0 to 1.

    scratch holds one double per block.
    """
    run_team(team, targets_part[real], n, target, scratch)
    if sum_in_order((n + BLOCK - 1) // BLOCK, scratch) == 0:
        return True
    return wrong_target(n, target, weight, per_weight) < 0


cdef double total_weight(int64_t n, const real *weight, int64_t per_weight) noexcept nogil:
    """Return the total weight of n elements."""
    cdef double total = 0
    cdef int64_t i
    if weight is NULL:
        return n
    for i in range(n // per_weight):
        total += weight[i]
    return total * per_weight


cdef bint can_divide(double total, real like) noexcept nogil:
    """True if a mean can divide by this total weight.

    1 / total must be finite and above 0 in the real type, or all weights 0.
    """
    cdef real factor = <real>(1 / total) if total > 0 else 1
    return is_positive(factor)


cdef void repeat(
    int64_t start, int64_t n, const real *weight, int64_t per_weight, real *out
) noexcept nogil:
    """Set out[k] = weight[(start + k) / per_weight]."""
    cdef int64_t k = 0, i = start // per_weight, stop = per_weight - start % per_weight
    while k < n:
        stop = min(stop, n)
        while k < stop:
            out[k] = weight[i]
            k += 1
        i += 1
        stop += per_weight


cdef void cycle(
    int64_t start, int64_t n, const real *weight, int64_t columns, real *out
) noexcept nogil:
    """Set out[k] = weight[(start + k) % columns]."""
    cdef int64_t k = 0, size, j = start % columns
    while k < n:
        size = min(columns - j, n - k)
        memcpy(out + k, weight + j, size * sizeof(real))
        k += size
        j = 0


cdef void loss_part(
    int team, int thread, int kind, int64_t n, const real *pred, const real *target,
    const real *weight, int64_t per_weight, const real *positive, int64_t columns, real delta,
    real factor, real *dpred, real *losses, double *sums
) noexcept nogil:
    cdef int64_t i, at, size, first, last
    cdef real weights[BLOCK]
    cdef real positives[BLOCK]
    cdef bint large = past_caches(n, dpred, pred, target)
    share((n + BLOCK - 1) // BLOCK, team, thread, &first, &last)
    for i in range(first, last):
        at = i * BLOCK
        size = min(<int64_t>BLOCK, n - at)
        if weight is not NULL:
            repeat(at, size, weight, per_weight, &weights[0])
        if positive is not NULL and columns == 1:
            repeat(at, size, positive, n, &positives[0])
        elif positive is not NULL:
            cycle(at, size, positive, columns, &positives[0])
        sums[i] = loss_run(
            kind, size, pred + at, target + at, NULL if weight is NULL else &weights[0],
            NULL if positive is NULL else &positives[0], delta, factor, dpred + at,
            NULL if losses is NULL else losses + at, large
        )


cdef int loss_real(
    int kind, int64_t n, const real *pred, const real *target, const real *weight,
    int64_t per_weight, const real *positive, int64_t columns, real delta, bint mean, real *dpred,
    real *losses, double *loss
) noexcept nogil:
    cdef int team
    cdef int64_t blocks = (n + BLOCK - 1) // BLOCK
    cdef double total = 1
    cdef double *sums
    if (
        kind < FASTNN_LOSS_MSE
        or kind > FASTNN_LOSS_BCE
        or (kind == FASTNN_LOSS_HUBER and not is_positive(delta))
    ):
        return BAD_ARGUMENT
    if (
        n < 0
        or (mean and n == 0)
        or (n > 0 and (pred is NULL or target is NULL or dpred is NULL))
        or loss is NULL
    ):
        return BAD_ARGUMENT
    if (
        (weight is not NULL and (
            per_weight < 1 or n % per_weight != 0 or wrong_weight(n // per_weight, weight) >= 0
        ))
        or (positive is not NULL and columns < 1)
    ):
        return BAD_ARGUMENT
    if mean:
        total = total_weight(n, weight, per_weight)
    if not can_divide(total, <real>0):
        return BAD_ARGUMENT
    sums = <double*>take(max(blocks, 1) * <int64_t>sizeof(double))
    if sums is NULL:
        return NO_MEMORY
    cdef real factor = <real>(1 / total) if total > 0 else 0
    team = threads_for(n, machine.math_grain if kind == FASTNN_LOSS_BCE else machine.pass_grain)
    if kind == FASTNN_LOSS_BCE and not targets_fit(team, n, target, weight, per_weight, sums):
        give(sums)
        return BAD_ARGUMENT
    run_team(
        team, loss_part[real], kind, n, pred, target, weight, per_weight, positive, columns, delta,
        factor, dpred, losses, sums
    )
    loss[0] = sum_in_order(blocks, sums) / total if total > 0 else 0
    give(sums)
    return OK


cdef int mse_real(
    int64_t n, const real *pred, const real *target, real *dpred, double *loss
) noexcept nogil:
    return loss_real(
        FASTNN_LOSS_MSE, n, pred, target, <real*>NULL, 1, <real*>NULL, 1, 0, True, dpred,
        <real*>NULL, loss
    )
