"""What a status means, by pointer, without the GIL; never NULL."""

cdef const char *strerror(int status) noexcept nogil
