"""Softmax with cross entropy and its gradient, from one pass over the logits.

    L_i = -sum_j a_ij log softmax(o_i)_j
    dL_i/do_ij = A_i softmax(o_i)_j - a_ij,    A_i = sum_j a_ij
    a_ij = w_j ((1 - s) q_ij + s / C)

*Dive into Deep Learning*, section 4.1.2. q_i is the target's distribution, s the label smoothing
(Szegedy et al. 2016), w_j the weight of class j. Without smoothing and with a label t as target,
only a_it differs from 0. The mean is sum_i v_i L_i / sum_i v_i w_t(i), where v_i is the weight of
example i (w_t is 1 if targets are distributions), as in PyTorch. Accuracy: a loss within 32 eps of
max(1, loss), gradients within 16 eps of the largest. Losses are summed in double, row by row in a
fixed order, so the bits do not depend on the number of threads. The function on arrays is in
cross_entropy_arrays.pyx.
"""
from libc.math cimport INFINITY
from libc.stdint cimport INT64_MIN, int64_t
from libc.string cimport memset

from ..ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK
from ..ground.dispatch cimport cross_entropy_block, cross_entropy_soft_row, real
from ..ground.machine cimport machine, past_caches
from ..ground.memory cimport give, take
from ..ground.scalars cimport is_probability
from ..ground.threads cimport run_team, share, threads_for
from .elementwise cimport any_outside, can_divide, sum_in_order, wrong_weight

cdef int64_t wrong_label(
    int64_t rows, int64_t cols, const int64_t *labels, int64_t ignore, bint *ignores
) noexcept nogil:
    """Return the first row whose label is neither a class nor ignored, or -1.

    *ignores becomes True if a label is ignored; none is if ignore is INT64_MIN.
    """
    cdef int64_t i
    for i in range(rows):
        if labels[i] == ignore and ignore != INT64_MIN:
            ignores[0] = True
        elif labels[i] < 0 or labels[i] >= cols:
            return i
    return -1


cdef double row_weights(
    int64_t rows, const int64_t *labels, int64_t ignore, const real *class_weight,
    const real *sample_weight, bint soft, double *weights
) noexcept nogil:
    """Compute the weight of each row, 0 for an excluded row, and return their sum.

    Soft rows apply the class weight themselves.
    """
    cdef int64_t i
    cdef double total = 0, w, c
    for i in range(rows):
        w = 1 if sample_weight is NULL else sample_weight[i]
        c = 1
        if labels is not NULL:
            if labels[i] == ignore:
                w = 0
            elif class_weight is not NULL:
                c = class_weight[labels[i]]
        total += w * c
        weights[i] = w if soft else w * c
    return total


cdef void soft_rows(
    int64_t first, int64_t stop, int64_t cols, const real *logits, int64_t ldlogits,
    const int64_t *labels, const real *probs, int64_t ldprobs, const real *class_weight,
    const double *weights, double smoothing, double scale, real *dlogits, int64_t lddlogits,
    double *losses
) noexcept nogil:
    """Compute the rows from first to stop against distributions. Without probs, ldprobs is 0."""
    cdef int64_t i
    cdef double w
    for i in range(first, stop):
        w = 1 if weights is NULL else weights[i]
        losses[i] = w * cross_entropy_soft_row(
            cols, logits + i * ldlogits, probs + i * ldprobs, 0 if labels is NULL else labels[i],
            class_weight, 1 - smoothing, smoothing / cols, w * scale, dlogits + i * lddlogits
        )


cdef void no_rows(
    int64_t rows, int64_t cols, real *dlogits, int64_t lddlogits, double *losses
) noexcept nogil:
    """Clear the outputs of excluded rows, whose logits are not read."""
    cdef int64_t i
    for i in range(rows):
        losses[i] = 0
        memset(dlogits + i * lddlogits, 0, cols * sizeof(real))


cdef void rows_part(
    int team, int thread, int64_t rows, int64_t cols, const real *logits, int64_t ldlogits,
    const int64_t *labels, const real *probs, int64_t ldprobs, const real *class_weight,
    const double *weights, double smoothing, double scale, real *dlogits, int64_t lddlogits,
    double *losses
) noexcept nogil:
    """Compute this thread's rows, in alternating runs of included and excluded ones."""
    cdef int64_t i, first, last, stop
    cdef const double *w = NULL
    cdef bint large = (
        rows * cols * <int64_t>sizeof(real) >= machine.streamed_rows
        and past_caches(rows * cols, dlogits, logits, probs)
    )
    share(rows, team, thread, &first, &last)
    i = first
    while i < last:
        stop = last
        if weights is not NULL:
            w = weights + i
            stop = i + 1
            while stop < last and (weights[stop] == 0) == (weights[i] == 0):
                stop += 1
        if w is not NULL and w[0] == 0:
            no_rows(stop - i, cols, dlogits + i * lddlogits, lddlogits, losses + i)
        elif probs is not NULL or smoothing > 0:
            soft_rows(
                i, stop, cols, logits, ldlogits, labels, probs, ldprobs, class_weight, weights,
                smoothing, scale, dlogits, lddlogits, losses
            )
        else:
            cross_entropy_block(
                stop - i, cols, logits + i * ldlogits, ldlogits, labels + i, w, scale,
                dlogits + i * lddlogits, lddlogits, losses + i, large
            )
        i = stop


cdef void check_part(int team, int thread, int64_t rows, int64_t cols, const real *probs,
                      int64_t ldprobs, double *wrong) noexcept nogil:
    """Set wrong[i] to 1 if a probability of row i is negative, else to 0."""
    cdef int64_t i, first, last
    share(rows, team, thread, &first, &last)
    for i in range(first, last):
        wrong[i] = any_outside(cols, probs + i * ldprobs, <real>INFINITY)


cdef int64_t wrong_row(int team, int64_t rows, int64_t cols, const real *probs, int64_t ldprobs,
                       const double *weights, double *scratch) noexcept nogil:
    """Return the first included row with a negative probability, or -1.

    scratch holds one double per row.
    """
    cdef int64_t i
    run_team(team, check_part[real], rows, cols, probs, ldprobs, scratch)
    for i in range(rows):
        if scratch[i] != 0 and (weights is NULL or weights[i] != 0):
            return i
    return -1


cdef bint wrong_weights(int64_t n, const real *weights) noexcept nogil:
    """True if there are weights and one of them is negative or not finite."""
    return weights is not NULL and wrong_weight(n, weights) >= 0


cdef int weighted_cross_entropy_real(
    int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const real *probs, int64_t ldprobs, const real *class_weight,
    const real *sample_weight, double smoothing, bint mean, real *dlogits, int64_t lddlogits,
    real *each, double *loss
) noexcept nogil:
    cdef int team
    cdef int64_t i
    cdef bint ignores = False
    cdef double total = rows, scale = 1
    cdef double *losses, *weights = NULL
    if rows < 0 or cols <= 0 or (mean and rows == 0):
        return BAD_ARGUMENT
    if loss is NULL or not is_probability(smoothing):
        return BAD_ARGUMENT
    if rows > 0 and (logits is NULL or dlogits is NULL or (labels is NULL) == (probs is NULL)):
        return BAD_ARGUMENT
    if probs is NULL:
        ldprobs = 0
    if labels is not NULL and wrong_label(rows, cols, labels, ignore, &ignores) >= 0:
        return BAD_ARGUMENT
    if wrong_weights(cols, class_weight) or wrong_weights(rows, sample_weight):
        return BAD_ARGUMENT
    losses = <double*>take((2 * rows + 1) * <int64_t>sizeof(double))
    if losses is NULL:
        return NO_MEMORY
    if ignores or sample_weight is not NULL or (class_weight is not NULL and labels is not NULL):
        weights = losses + rows
        total = row_weights(
            rows, labels, ignore, class_weight, sample_weight, probs is not NULL or smoothing > 0,
            weights
        )
    if mean:
        if not can_divide(total, <real>0):
            give(losses)
            return BAD_ARGUMENT
        scale = 1 / total if total > 0 else 0
    team = threads_for(<double>rows * cols, machine.math_grain)
    if probs is not NULL and wrong_row(team, rows, cols, probs, ldprobs, weights, losses) >= 0:
        give(losses)
        return BAD_ARGUMENT
    run_team(
        team, rows_part[real], rows, cols, logits, ldlogits, labels, probs, ldprobs, class_weight,
        weights, smoothing, scale, dlogits, lddlogits, losses
    )
    loss[0] = scale * sum_in_order(rows, losses) if scale > 0 else 0
    if each is not NULL:
        for i in range(rows):
            each[i] = <real>losses[i]
    give(losses)
    return OK


cdef int cross_entropy_real(
    int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *targets,
    real *dlogits, int64_t lddlogits, double *loss
) noexcept nogil:
    return weighted_cross_entropy_real(
        rows, cols, logits, ldlogits, targets, INT64_MIN, <real*>NULL, 0, <real*>NULL, <real*>NULL,
        0, True, dlogits, lddlogits, <real*>NULL, loss
    )
