"""Transformers: a float64 reference in NumPy, and each library's implementation."""

# nanoGPT's settings: vocabulary of characters, weight decay and gradient clipping.
CHARACTERS, DECAY, MAX_NORM = 65, 0.1, 1.0
LABEL_SMOOTHING = 0.1
