"""Steps of optimizers over flat arrays by pointer, without the GIL. m may be NULL for SGD without momentum. Returns 0 or 2 (n < 0, a missing pointer)."""
from libc.stdint cimport int64_t

cdef int sgd_f32(int64_t n, float *p, const float *g, float *m, double lr, double momentum, int nesterov, double weight_decay,
                 double grad_scale) noexcept nogil
cdef int sgd_f64(int64_t n, double *p, const double *g, double *m, double lr, double momentum, int nesterov, double weight_decay,
                 double grad_scale) noexcept nogil
cdef int adam_f32(int64_t n, float *p, const float *g, float *m, float *v, int64_t step, double lr, double beta1, double beta2, double eps,
                  double weight_decay, int decoupled, double grad_scale) noexcept nogil
cdef int adam_f64(int64_t n, double *p, const double *g, double *m, double *v, int64_t step, double lr, double beta1, double beta2,
                  double eps, double weight_decay, int decoupled, double grad_scale) noexcept nogil
cdef int scale_f32(int64_t n, double factor, float *x) noexcept nogil
cdef int scale_f64(int64_t n, double factor, double *x) noexcept nogil
