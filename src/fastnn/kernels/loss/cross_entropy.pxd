"""Softmax with cross entropy and its gradient, by pointer, without the GIL.

`rows` rows of `cols` contiguous elements; `ld...` is the row stride in elements. Targets are labels
or, if `labels` is NULL, the rows of `probs`. A label equal to `ignore` excludes its row, unless
`ignore` is INT64_MIN. class_weight (cols), sample_weight (rows) and losses (rows) may be NULL;
smoothing is from 0 to 1. The mean is weighted, and 0 if all weights are 0. dlogits may be logits.
Returns 0, 1 (no memory) or 2 (a negative size, no columns, a mean over no rows, a missing pointer,
a label outside 0..cols-1, a negative probability in an included row, a weight that is negative,
infinite or NaN, a total of weights whose reciprocal is not finite and above 0 in the type).
Outputs are written only if 0 is returned.
"""
from libc.stdint cimport int64_t

from ..ground.dispatch cimport real

# The mean over all rows; no label is ignored.
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

# For cross_entropy_arrays.pyx.
cdef int64_t wrong_label(
    int64_t rows, int64_t cols, const int64_t *labels, int64_t ignore, bint *ignores
) noexcept nogil
