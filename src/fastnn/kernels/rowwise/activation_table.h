/* activation_table.h: fastnn_activations.h as a table for activation.pyx and others at run time. */
#ifndef FASTNN_ACTIVATION_TABLE_H
#define FASTNN_ACTIVATION_TABLE_H

#include "leaves.h"

/* Sets of codes, one bit per code. */
#define FASTNN_IS_OUTPUT 1
#define FASTNN_IS_INPUT 0
#define FASTNN_IS_LIGHT 1
#define FASTNN_IS_HEAVY 0
#define FASTNN_READ(NAME, name, code, reads, ...) | FASTNN_IS_##reads << code
#define FASTNN_FORTH(NAME, name, code, reads, forward, ...) | FASTNN_IS_##forward << code
#define FASTNN_BACK(NAME, name, code, reads, forward, backward, ...) | FASTNN_IS_##backward << code
enum {
    FASTNN_READING_OUTPUT = 0 FASTNN_ACTIVATIONS(FASTNN_READ),
    FASTNN_LIGHT_FORWARD = 1 << FASTNN_ACT_NONE FASTNN_ACTIVATIONS(FASTNN_FORTH),
    FASTNN_LIGHT_BACKWARD = 1 << FASTNN_ACT_NONE FASTNN_ACTIVATIONS(FASTNN_BACK)
};
static inline int fastnn_reads_output(int kind) { return FASTNN_READING_OUTPUT >> kind & 1; }
static inline int fastnn_is_light(int kind, int backward) {
    return (backward ? FASTNN_LIGHT_BACKWARD : FASTNN_LIGHT_FORWARD) >> kind & 1;
}

struct fastnn_activation {
    int code;
    const char *name, *y, *dx;
};
#define FASTNN_ROW(NAME, name, code, reads, forward, backward, y, dx) {code, #name, y, dx},
static const struct fastnn_activation fastnn_activation_table[FASTNN_ACT_LAST]
    __attribute__((unused)) = {FASTNN_ACTIVATIONS(FASTNN_ROW)};

#endif
