"""The error that the command line reports in one line, with exit code 2."""


class UsageError(Exception):
    """The request cannot be carried out; the message says why in one line."""
