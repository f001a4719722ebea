"""The array faces of the activations; their pointer faces are in activation.pxd."""
