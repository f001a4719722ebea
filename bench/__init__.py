"""Compare fastnn's kernels with NumPy, SciPy, PyTorch and the limits of the machine.

``pytest bench`` times everything with pytest-benchmark; ``python -m bench.ratios`` prints the table
of ratios against the fastest peer. See ``bench/README.md``.
"""
