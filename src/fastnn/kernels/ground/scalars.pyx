"""Check the scalar arguments that the inline checks of scalars.pxd reject, and build the errors.

    function: argument must be this, not that

"that" is the type and value given; of an array, never the data.
"""
import numbers
import operator

import numpy as np

from libc.stdint cimport INT64_MAX, INT64_MIN

cdef enum:
    LONGEST = 40        # maximum characters of a value in a message


def value_of(x):
    """Return the value of a scalar, or the type of anything else, for a message."""
    if isinstance(x, int) and x.bit_length() > 128:
        return f"an int of {x.bit_length()} bits"
    if isinstance(x, (str, bytes)):
        text = repr(x[:LONGEST + 1])
    elif x is None or isinstance(x, (int, float, complex, np.generic)):
        text = str(x)
    else:
        return given(x)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def given(x):
    """Describe an argument: its type, and a scalar's value or an array's dtype and shape."""
    kind = type(x).__name__
    if x is None:
        return "None"
    if isinstance(x, np.ndarray):
        return f"{kind} of {x.dtype}, shape {np.shape(x)}"
    if isinstance(x, (str, bytes, int, float, complex, np.generic)):
        return f"{kind} {value_of(x)}"
    return kind


cdef int refuse_type(object x, str wanted, str op, str name) except -1:
    raise TypeError(f"{op}: {name} must be {wanted}, got {given(x)}")


cdef int refuse_value(object x, str wanted, str op, str name) except -1:
    raise ValueError(f"{op}: {name} must be {wanted}, got {value_of(x)}")


cdef double number_of(object x, str op, str name) except? -1:
    if isinstance(x, bool) or not isinstance(x, numbers.Real):
        refuse_type(x, "a number", op, name)
    try:
        return float(x)
    except OverflowError:
        refuse_value(x, "a number that float64 can hold", op, name)


cdef bint flag_of(object x, str op, str name) except -1:
    if not isinstance(x, np.bool_):
        refuse_type(x, "True or False", op, name)
    return bool(x)


cdef object integer(object x, str op, str name):
    """Return x as an int; bool is refused."""
    if not isinstance(x, (bool, np.bool_, np.ndarray)):
        try:
            return operator.index(x)
        except TypeError:
            pass
    refuse_type(x, "an integer", op, name)


cdef int64_t whole_of(object x, int64_t low, int64_t high, str op, str name) except? -1:
    i = integer(x, op, name)
    if low <= i <= high:
        return i
    if low == INT64_MIN:
        refuse_value(i, "from -2**63 to 2**63 - 1", op, name)
    if high < INT64_MAX:
        refuse_value(i, f"from {low} to {high}", op, name)
    refuse_value(i, f"at least {low}" if i < low else "below 2**63", op, name)


cdef uint64_t word_of(object x, str op, str name) except? 0:
    i = integer(x, op, name)
    if not 0 <= i < 2**64:
        refuse_value(i, "from 0 to 2**64 - 1", op, name)
    return i


cdef int choice(object x, tuple names, str op, str name) except -1:
    """Return the index of x in names, which are strings or None."""
    cdef int i, n = len(names)
    for i in range(n):
        if x is names[i]:
            return i
    if isinstance(x, str):
        for i in range(n):
            if x == names[i]:
                return i
    refuse_choice(x, names, op, name)


cdef int refuse_choice(object x, tuple names, str op, str name) except -1:
    words = [n for n in names if n is not None]
    one_of = "one of " if len(names) > 3 else ""
    listed = ", ".join(map(repr, names[:-1])) + f" or {names[-1]!r}"
    hint = did_you_mean(x, words)
    raise ValueError(f"{op}: {name} must be {one_of}{listed}, got {value_of(x)}{hint}")


def did_you_mean(word, known, quoted=True):
    """Return a clause with the known name that was probably meant, or an empty string."""
    from difflib import get_close_matches  # needed for errors only

    if not isinstance(word, str) or len(word) > 100:
        return ""
    names = {name.lower(): name for name in known if isinstance(name, str)}
    for near in get_close_matches(word.lower(), list(names), 1):
        return f"; did you mean {names[near]!r}?" if quoted else f"; did you mean {names[near]}?"
    return ""


def to_array(x, name, dtype="float32"):
    """Return a clause with the code that makes an array of x, or an empty string."""
    if isinstance(x, np.ndarray):
        return f"; give {name}.astype(np.{dtype})" if x.dtype.kind in "biuf" else ""
    if hasattr(x, "__dlpack__"):
        return f"; give fastnn.asarray({name})"
    if isinstance(x, (list, tuple)) or hasattr(x, "__array__"):
        return f"; give np.asarray({name}, np.{dtype})"
    return ""


# For Python modules.

def check_positive(str op, str name, x):
    return positive_number(x, op, name)


def check_flag(str op, str name, x):
    return flag(x, op, name)


def check_choice(str op, str name, x, tuple names):
    return names[choice(x, names, op, name)]
