"""The array API of the optimizer steps; the pointer API is in rules.pxd."""
