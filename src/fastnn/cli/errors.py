"""The error that the command line answers with one line and exit code 2."""


class UsageError(Exception):
    """What the user asked for cannot be done; the message says why, in one line."""
