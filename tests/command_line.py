"""Run commands of `fastnn` in the process of a test."""

import re

from fastnn.cli import main


def run(capsys, *argv):
    """Exit code, stdout, stderr. A single string is split into words."""
    words = argv[0].split() if len(argv) == 1 and isinstance(argv[0], str) else map(str, argv)
    code = main(list(words))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def run_lines(capsys, *argv):
    """Exit code, lines of stdout, stderr."""
    code, out, err = run(capsys, *argv)
    return code, out.splitlines(), err


def assert_refused(capsys, argv, message, expected=2):
    """One line on stderr that matches, and the exit code; return stdout."""
    code, out, err = run(capsys, *([argv] if isinstance(argv, str) else argv))
    assert code == expected
    assert re.fullmatch(r"fastnn: error: [^\n]+\n", err), err
    assert re.search(message, err), err
    return out
