"""Kernels on rows: activations, softmax, layer and RMS norms, dropout."""
