"""Softmax with cross entropy and its gradient by pointer, without the GIL: `rows` rows of `cols` contiguous elements, `ld...` from a row to the next.

Targets are labels or, where `labels` is NULL, the rows of `probs`. A label equal to `ignore` leaves its row out, unless that is INT64_MIN. class_weight (cols), sample_weight (rows)
and losses (rows) may be NULL; smoothing is from 0 to 1; the mean is by weight, and 0 where all weights are 0. dlogits may be logits.
Returns 0, 1 (no memory) or 2 (a negative size, no columns, a mean over no rows, a missing pointer,
a label that is no column, a negative probability in a row that counts, a weight that is negative,
infinite or NaN, a total of weights whose reciprocal is not finite and above 0 in the type); outputs
are written only when 0 is returned.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

# The mean over all rows, nothing ignored.
cdef int cross_entropy_real(
    int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *targets,
    real *dlogits, int64_t lddlogits, double *loss
) noexcept nogil
cdef int weighted_cross_entropy_real(
    int64_t rows, int64_t cols, const real *logits, int64_t ldlogits, const int64_t *labels,
    int64_t ignore, const real *probs, int64_t ldprobs, const real *class_weight,
    const real *sample_weight, double smoothing, bint mean, real *dlogits, int64_t lddlogits,
    real *losses, double *loss
) noexcept nogil
