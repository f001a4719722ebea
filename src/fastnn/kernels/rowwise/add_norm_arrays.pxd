"""The array API of add & norm; the pointer API is in norms.pxd."""
