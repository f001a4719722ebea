"""Transformers: a float64 reference in NumPy, and each library's implementation."""
