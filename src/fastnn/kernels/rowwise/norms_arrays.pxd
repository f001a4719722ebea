"""The array API of layer norm, RMS norm and add & norm; the pointer API is in norms.pxd."""
