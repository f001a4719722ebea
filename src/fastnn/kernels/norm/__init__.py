"""Norms over all elements of arrays: Frobenius and L1."""
