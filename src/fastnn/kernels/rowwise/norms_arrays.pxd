"""The array faces of layer norm, RMS norm and add & norm; their pointer faces are in layernorm.pxd."""
