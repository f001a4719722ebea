"""Transformers beside PyTorch's: a float64 reference, and each library's implementation.

``reference``
    Forward and backward passes in NumPy, to check every library.
``with_torch``, ``with_fastnn``
    The same in the libraries, imported when a function is called.
``memory``
    The peak memory of a training step.

The cases are those of ``families/transformer.py``. ``python -m bench.transformer`` measures them
all and prints fastnn's targets.
"""
