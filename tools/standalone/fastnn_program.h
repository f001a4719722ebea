/* fastnn_program.h: the functions of fastnn.h in a program without Python, from libfastnn.a.
 *
 *     #include "fastnn_program.h"
 *     ...
 *     if (fastnn_open() != FASTNN_OK) return 1;        once, before any other call
 *     ...
 *     int status = fastnn_softmax_f32(rows, cols, x, cols, y, cols);
 *
 * Compile with `pkg-config --cflags --libs fastnn`. docs/standalone.md says how the library is
 * built and what it lacks: functions of plans return FASTNN_BAD_ARGUMENT, since there is no model
 * to make a plan of. */
#ifndef FASTNN_PROGRAM_H
#define FASTNN_PROGRAM_H

#define FASTNN_UNIQUE_SYMBOL fastnn_program_table
#define FASTNN_NO_IMPORT
#include "fastnn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Choose the instruction set and the number of threads. FASTNN_ISA and FASTNN_NUM_THREADS hold as
 * in Python. Returns FASTNN_OK, or FASTNN_BAD_ARGUMENT if FASTNN_ISA names a set that this CPU or
 * this library lacks. May be called again; not from two threads at once. */
int fastnn_open(void);

#ifdef __cplusplus
}
#endif

#endif
