/* classify.c: a network of two layers in a program without Python.
 *
 * It learns nothing: the weights are chosen so that the result is known, the index of the largest
 * of four inputs. */
#include <stdio.h>

#include "fastnn_program.h"

enum { ROWS = 3, INPUTS = 4, HIDDEN = 8, CLASSES = 4 };

/* Report a status that is not FASTNN_OK; returns 1 if there is one. */
static int failed(const char *what, int status) {
    if (status == FASTNN_OK) return 0;
    fprintf(stderr, "%s: %s\n", what, fastnn_strerror(status));
    return 1;
}

int main(void) {
    if (fastnn_open() != FASTNN_OK) {
        fprintf(stderr, "FASTNN_ISA names an instruction set that this machine lacks\n");
        return 1;
    }
    const float x[ROWS * INPUTS] = {0.1f, 2.0f, 0.3f, 0.2f, 5.0f, 0, 1.0f, 1.0f, 0, 0, 0.5f, 3.0f};
    float w1[INPUTS * HIDDEN] = {0}, w2[HIDDEN * CLASSES] = {0}, bias[HIDDEN] = {0};
    float hidden[ROWS * HIDDEN], y[ROWS * CLASSES];
    for (int i = 0; i < INPUTS; i++) w1[i * HIDDEN + i] = w2[i * CLASSES + i] = 1;

    /* hidden = relu(x w1 + bias), y = softmax(hidden w2) */
    if (failed("first layer", fastnn_gemm_f32(ROWS, HIDDEN, INPUTS, 1, x, INPUTS, 1, w1, HIDDEN, 1,
                                              0, hidden, HIDDEN, 1, bias, FASTNN_RELU, NULL)) ||
        failed("second layer",
               fastnn_gemm_f32(ROWS, CLASSES, HIDDEN, 1, hidden, HIDDEN, 1, w2, CLASSES, 1, 0, y,
                               CLASSES, 1, NULL, FASTNN_NONE, NULL)) ||
        failed("softmax", fastnn_softmax_f32(ROWS, CLASSES, y, CLASSES, y, CLASSES)))
        return 1;
    for (int r = 0; r < ROWS; r++) {
        int best = 0;
        for (int c = 1; c < CLASSES; c++)
            if (y[r * CLASSES + c] > y[r * CLASSES + best]) best = c;
        printf("row %d: class %d, probability %.3f\n", r, best, (double)y[r * CLASSES + best]);
    }
    printf("fastnn %s, %s, %d threads\n", fastnn_table->version, fastnn_table->isa,
           fastnn_max_threads());
    return 0;
}
