"""Transformers beside PyTorch's: what is computed, in float64 NumPy and in each library.

``reference``
    Forward and backward passes in NumPy, which every library is checked against.
``with_torch``, ``with_fastnn``
    The same in the libraries; they import theirs when a function is called.
``memory``
    The peak memory of a training step.

The cases are those of ``families/transformer.py``. ``python -m bench.transformer`` measures them
all and prints what fastnn aims at beside it.
"""
