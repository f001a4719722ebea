"""Registers: the C micro-kernels and their table."""
