"""The table: for each name of the public interface, functions that draw its cases."""

from collections import defaultdict

ROWS = defaultdict(list)


def row(*names):
    """Register a function draw -> Case as a row of each of the names."""

    def registered(make):
        for name in names:
            ROWS[name].append(make)
        return make

    return registered
