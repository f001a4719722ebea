"""The array API of layer norm and RMS norm; the pointer API is in norms.pxd."""
from libc.stdint cimport uint64_t

# The bodies, for add_norm_arrays.pyx: with a residual and dropout.
cdef object forward(
    int rms, object x, object residual, object weight, object bias, double eps, double p,
    uint64_t seed, uint64_t step, object h, object stats, object out, str op
)
cdef tuple backward(
    int rms, object dy, object h, object stats, object weight, object dh_in, double p,
    uint64_t seed, uint64_t step, object dweight, object dbias, object out, str op, str h_name
)
