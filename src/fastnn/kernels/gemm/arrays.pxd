"""The array faces of the matrix product; its pointer faces are in gemm.pxd."""
