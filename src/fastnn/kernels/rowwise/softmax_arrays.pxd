"""The array API of softmax and log-softmax; the pointer API is in softmax.pxd."""
