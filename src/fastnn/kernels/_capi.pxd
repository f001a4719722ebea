"""The message of a status code, by pointer, without the GIL; never NULL."""

cdef const char *strerror(int status) noexcept nogil
