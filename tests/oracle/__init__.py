"""What the kernels and layers should return, from the equations, with a bound of the error."""

from .heads import attention, attention_backward, attention_weights, visible

__all__ = ["attention", "attention_backward", "attention_weights", "visible"]
