"""Checks of arguments: what they let through, and what their errors say."""

import re
from fractions import Fraction

import numpy as np
import pytest

from fastnn import checks


@pytest.mark.parametrize(
    ("check", "args", "value", "expected"),
    [
        (checks.check_count, {}, 3, 3),
        (checks.check_count, {}, np.uint8(3), 3),
        (checks.check_count, {"low": 0, "high": 5}, np.array(5), 5),
        (checks.check_integer, {}, -(10**30), -(10**30)),
        (checks.check_number, {}, np.float32(0.5), 0.5),
        (checks.check_number, {"least": 0, "below": 1}, 0, 0.0),
        (checks.check_number, {"above": 0}, Fraction(1, 2), 0.5),
        (checks.check_probability, {}, 1, 1.0),
        (checks.check_flag, {}, np.True_, True),
        (checks.check_choice, {"choices": (None, "relu")}, None, None),
        (checks.check_choice, {"choices": (None, "relu")}, "relu", "relu"),
        (checks.check_seed, {}, 2**64 - 1, 2**64 - 1),
        (checks.check_name, {}, "x", "x"),
    ],
)
def test_what_is_allowed_comes_back_in_one_type(check, args, value, expected):
    found = check("it", value, **args)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("check", "args", "value", "error", "message"),
    [
        (checks.check_count, {}, 3.0, TypeError, "be an integer, got float 3.0"),
        (checks.check_count, {}, True, TypeError, "be an integer, got bool True"),
        (
            checks.check_count,
            {},
            np.ones(3, int),
            TypeError,
            "an integer, got ndarray of int64, shape (3,)",
        ),
        (checks.check_count, {}, 0, ValueError, "be at least 1, got 0"),
        (checks.check_count, {"high": 5}, 6, ValueError, "be from 1 to 5, got 6"),
        (checks.check_integer, {}, "3", TypeError, "be an integer, got str '3'"),
        (checks.check_number, {}, "3", TypeError, "be a number, got str '3'"),
        (checks.check_number, {}, False, TypeError, "be a number, got bool False"),
        (checks.check_number, {}, 1j, TypeError, "be a number, got complex 1j"),
        (checks.check_number, {}, np.nan, ValueError, "be finite, got nan"),
        (checks.check_number, {}, -np.inf, ValueError, "be finite, got -inf"),
        (checks.check_number, {"least": 0}, -1, ValueError, "be at least 0 and finite"),
        (checks.check_number, {"least": 0}, 10**400, ValueError, "be at least 0 and finite"),
        (checks.check_number, {"above": 0}, 0, ValueError, "be above 0 and finite, got 0"),
        (checks.check_number, {"above": 0, "most": 1}, 0, ValueError, "above 0 and at most 1"),
        (checks.check_number, {"least": 0, "below": 1}, 1, ValueError, "at least 0 and below 1"),
        (checks.check_probability, {}, 1.5, ValueError, "be from 0 to 1, got 1.5"),
        (checks.check_probability, {}, np.nan, ValueError, "be from 0 to 1, got nan"),
        (checks.check_flag, {}, 1, TypeError, "be True or False, got int 1"),
        (
            checks.check_choice,
            {"choices": "ab"},
            ["a"],
            ValueError,
            "'a' or 'b', got list",
        ),
        (
            checks.check_choice,
            {"choices": (None, "relu", "silu")},
            "Rleu",
            ValueError,
            "be None, 'relu' or 'silu', got 'Rleu'; did you mean 'relu'?",
        ),
        (checks.check_seed, {}, -1, ValueError, "be from 0 to 2**64 - 1, got -1"),
        (checks.check_seed, {}, 2**64, ValueError, "be from 0 to 2**64 - 1"),
        (checks.check_name, {}, b"x", TypeError, "be a str, got bytes b'x'"),
        (checks.check_name, {}, "", ValueError, "not be empty"),
    ],
)
def test_errors_name_the_argument_and_what_was_given(check, args, value, error, message):
    with pytest.raises(error, match=rf"^it must .*{re.escape(message)}"):
        check("it", value, **args)


def test_dtypes():
    assert checks.check_dtype("float32") == np.float32
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got float16"):
        checks.check_dtype(np.float16)
