"""The table of activations, include/fastnn_activations.h, as Cython sees it."""

cdef extern from "activation_table.h" nogil:
    # True if backward reads the output of the activation instead of its input.
    bint saves_output "fastnn_reads_output"(int kind)
    # True if an element costs a few operations and no exponential.
    bint is_light "fastnn_is_light"(int kind, bint backward)
    struct fastnn_activation:
        int code
        const char *name
        const char *y
        const char *dx
    const fastnn_activation fastnn_activation_table[]
