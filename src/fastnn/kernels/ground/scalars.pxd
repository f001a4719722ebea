"""Check scalar arguments: numbers, probabilities, flags, counts, seeds and names.

Each check takes the argument, the function's name and the argument's name. The success path is
inline; scalars.pyx builds the errors: TypeError for another type, ValueError for a value out of
range. The ranges are the is_... functions, which the pointer functions use too.
"""
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint64_t

cdef double number_of(object x, str op, str name) except? -1
cdef bint flag_of(object x, str op, str name) except -1
cdef int64_t whole_of(object x, int64_t low, int64_t high, str op, str name) except? -1
cdef uint64_t word_of(object x, str op, str name) except? 0
cdef object integer(object x, str op, str name)
cdef int refuse_value(object x, str wanted, str op, str name) except -1
cdef int choice(object x, tuple names, str op, str name) except -1


cdef inline bint is_finite(double v) noexcept nogil:
    return -INFINITY < v < INFINITY


cdef inline bint is_positive(double v) noexcept nogil:
    return 0 < v < INFINITY


cdef inline bint is_nonnegative(double v) noexcept nogil:
    return 0 <= v < INFINITY


cdef inline bint is_probability(double v) noexcept nogil:
    return 0 <= v <= 1


cdef inline bint is_kept_part(double v) noexcept nogil:
    return 0 <= v < 1


cdef inline double any_number(object x, str op, str name) except? -1:
    """Return x as a double; NaN and infinities are allowed, arrays and bool are not."""
    return PyFloat_AS_DOUBLE(x) if PyFloat_CheckExact(x) else number_of(x, op, name)


cdef inline double finite_number(object x, str op, str name) except? -1:
    cdef double v = any_number(x, op, name)
    if not is_finite(v):
        refuse_value(x, "finite", op, name)
    return v


cdef inline double finite_as(object x, bint is_float32, str op, str name) except? -1:
    """Return a number that is finite in float32, or in float64."""
    cdef double v = any_number(x, op, name)
    if not is_finite(<float>v if is_float32 else v):
        refuse_value(x, "finite in float32" if is_float32 else "finite", op, name)
    return v


cdef inline double positive_number(object x, str op, str name) except? -1:
    """Return a finite number above 0."""
    cdef double v = any_number(x, op, name)
    if not is_positive(v):
        refuse_value(x, "above 0 and finite", op, name)
    return v


cdef inline double nonnegative_number(object x, str op, str name) except? -1:
    """Return a finite number of at least 0."""
    cdef double v = any_number(x, op, name)
    if not is_nonnegative(v):
        refuse_value(x, "at least 0 and finite", op, name)
    return v


cdef inline double probability(object x, str op, str name) except? -1:
    """Return a number from 0 to 1."""
    cdef double v = any_number(x, op, name)
    if not is_probability(v):
        refuse_value(x, "from 0 to 1", op, name)
    return v


cdef inline double kept_part(object x, str op, str name) except? -1:
    """Return the part that a running mean keeps: at least 0 and below 1."""
    cdef double v = any_number(x, op, name)
    if not is_kept_part(v):
        refuse_value(x, "at least 0 and below 1", op, name)
    return v


cdef inline bint flag(object x, str op, str name) except -1:
    """Return a bool or numpy.bool; other truthy or falsy values are refused."""
    if x is True:
        return True
    return False if x is False else flag_of(x, op, name)


cdef inline int64_t whole_number(object x, int64_t low, int64_t high, str op, str name) except? -1:
    """Return an integer from low to high."""
    cdef int overflow = 0
    cdef int64_t v
    if PyLong_CheckExact(x):
        v = PyLong_AsLongLongAndOverflow(x, &overflow)
        if overflow == 0 and low <= v <= high:
            return v
    return whole_of(x, low, high, op, name)


cdef inline uint64_t word(object x, str op, str name) except? 0:
    """Return a seed or step number: an integer from 0 to 2^64 - 1."""
    cdef int overflow = 0
    cdef int64_t v
    if PyLong_CheckExact(x):
        v = PyLong_AsLongLongAndOverflow(x, &overflow)
        if overflow == 0 and v >= 0:
            return <uint64_t>v
    return word_of(x, op, name)
