"""fastnn's kernels beside NumPy, SciPy and PyTorch, and beside what the machine can do.

``pytest bench`` times everything with pytest-benchmark; ``python -m bench.ratios`` prints the table
of ratios against the fastest peer. See ``bench/README.md``.
"""
