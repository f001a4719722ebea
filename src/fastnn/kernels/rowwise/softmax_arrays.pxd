"""The array faces of softmax and log-softmax; their pointer faces are in softmax.pxd."""
