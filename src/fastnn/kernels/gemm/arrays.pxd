"""The array API of the matrix product. Its pointer API is in paths.pxd."""
