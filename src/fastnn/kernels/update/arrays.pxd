"""Steps of optimizers over flat arrays by pointer, without the GIL. g is read, all others are updated; none overlap.

m may be NULL for SGD and RMSprop without momentum, c for RMSprop that is not centred. Returns 0 or 2 (n < 0, a missing pointer).
Arrays may be cut anywhere and stepped part by part: the bits are the same.
"""
from libc.stdint cimport int64_t

cdef int sgd_f32(int64_t n, float *p, const float *g, float *m, double lr, double momentum, int nesterov, double weight_decay,
                 double grad_scale) noexcept nogil
cdef int sgd_f64(int64_t n, double *p, const double *g, double *m, double lr, double momentum, int nesterov, double weight_decay,
                 double grad_scale) noexcept nogil
cdef int adam_f32(int64_t n, float *p, const float *g, float *m, float *v, int64_t step, double lr, double beta1, double beta2, double eps,
                  double weight_decay, int decoupled, double grad_scale) noexcept nogil
cdef int adam_f64(int64_t n, double *p, const double *g, double *m, double *v, int64_t step, double lr, double beta1, double beta2,
                  double eps, double weight_decay, int decoupled, double grad_scale) noexcept nogil
cdef int rmsprop_f32(int64_t n, float *p, const float *g, float *v, float *m, float *c, double lr, double alpha, double eps,
                     double momentum, double weight_decay, double grad_scale) noexcept nogil
cdef int rmsprop_f64(int64_t n, double *p, const double *g, double *v, double *m, double *c, double lr, double alpha, double eps,
                     double momentum, double weight_decay, double grad_scale) noexcept nogil
cdef int adagrad_f32(int64_t n, float *p, const float *g, float *v, int64_t step, double lr, double lr_decay, double eps,
                     double weight_decay, double grad_scale) noexcept nogil
cdef int adagrad_f64(int64_t n, double *p, const double *g, double *v, int64_t step, double lr, double lr_decay, double eps,
                     double weight_decay, double grad_scale) noexcept nogil
cdef int ema_f32(int64_t n, float *average, const float *p, double decay) noexcept nogil
cdef int ema_f64(int64_t n, double *average, const double *p, double decay) noexcept nogil
cdef int scale_f32(int64_t n, double factor, float *x) noexcept nogil
cdef int scale_f64(int64_t n, double factor, double *x) noexcept nogil
