"""The array API of leaky ReLU and PReLU; the pointer API is in prelu.pxd."""
