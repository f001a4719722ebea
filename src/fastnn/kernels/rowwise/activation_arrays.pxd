"""The array API of the activations; the pointer API is in activation.pxd."""
