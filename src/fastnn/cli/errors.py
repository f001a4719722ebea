"""The errors that the command line reports in one line."""


class UsageError(Exception):
    """The request cannot be carried out (exit code 2); the message says why in one line."""


class Failure(UsageError):
    """The request was in order, but the work failed (exit code 1)."""
