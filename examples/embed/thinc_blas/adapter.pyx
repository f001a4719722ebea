# cython: language_level=3, legacy_implicit_noexcept=True
# distutils: language = c++
"""A thinc.backends.cblas.CBlas whose functions are fastnn's."""
from fastnn.kernels.api cimport blas_axpy_f32, blas_gemm_f32, blas_scal_f32
from thinc.backends.cblas cimport (
    CBlas, saxpy, saxpy_ptr, set_saxpy, set_sgemm, set_sscal, sgemm, sgemm_ptr, sscal, sscal_ptr,
)


def fastnn_blas():
    blas = CBlas()
    # The casts drop the status, which thinc has no place for.
    set_sgemm(blas, <sgemm_ptr>blas_gemm_f32)
    set_saxpy(blas, <saxpy_ptr>blas_axpy_f32)
    set_sscal(blas, <sscal_ptr>blas_scal_f32)
    return blas


def layer(CBlas blas, const float[:, ::1] x, const float[:, ::1] w, const float[::1] b,
          float[:, ::1] y):
    """Compute y = (x w^T + b) / 2 as a thinc layer does in C: gemm, then axpy and scal by row."""
    cdef int i, m = x.shape[0], n = w.shape[0], k = x.shape[1]
    with nogil:
        sgemm(blas)(False, True, m, n, k, 1, &x[0, 0], k, &w[0, 0], k, 0, &y[0, 0], n)
        for i in range(m):
            saxpy(blas)(n, 1, &b[0], 1, &y[i, 0], 1)
            sscal(blas)(n, 0.5, &y[i, 0], 1)
