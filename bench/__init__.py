"""The door to fastnn's benchmarks in a checkout: `pytest bench`, or `python -m bench`.

The suite itself is the package `fastnn.bench`, which wheels have too. Here are besides it what
needs a checkout (errors of the elementary functions, thresholds, the cost of a call from C), the
networks trained from start to end, and the results kept.
"""
