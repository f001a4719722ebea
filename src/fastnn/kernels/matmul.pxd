cdef int activation_code(object activation, str op) except -1
