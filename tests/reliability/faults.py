"""What the children of common.batch must not do; test_common.py sees that it is noticed."""

import os
import signal

from . import readers


def crash(seed):
    if seed == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return "fine"


def hang(seed):
    while seed == 3:
        pass
    return "fine"


def error(seed):
    return 1 / (seed - 3)


def greedy(seed):
    """Twice the memory that a reader may take."""
    readers.limit_memory()
    return len(bytearray(2 * readers.ALLOWANCE if seed == 3 else 10))


def leave(seed):
    """The end of the process, without a word."""
    os._exit(seed == 3)
