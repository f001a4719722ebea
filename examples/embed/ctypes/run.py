"""Logistic regression on records in an array.array, by ctypes alone: gemm, cross entropy, Adam."""

import ctypes
import random
from array import array

from fastnn import capi

N, WIDTH, CLASSES, STEPS = 300, 4, 3, 150
NONE, FLOAT = 0, ctypes.c_float

gemm, cross_entropy, adam = (
    capi.ctypes(f"{name}_f32") for name in ("gemm", "cross_entropy", "adam")
)
explain = capi.ctypes("strerror")


def checked(status):
    if status:
        raise RuntimeError(explain(status).decode())


def floats(values):
    """Return a ctypes view of an array.array of floats, without a copy."""
    return (FLOAT * len(values)).from_buffer(values)


rng = random.Random(0)
labels = (ctypes.c_int64 * N)(*(rng.randrange(CLASSES) for _ in range(N)))
records = array(
    "f", (rng.gauss(2.0 if j == labels[i] else 0.0, 0.5) for i in range(N) for j in range(WIDTH))
)
x, w, dw, m, v = (
    floats(a) for a in (records, *(array("f", bytes(4 * WIDTH * CLASSES)) for _ in range(4)))
)
logits, loss, losses = (FLOAT * (N * CLASSES))(), ctypes.c_double(), []

for step in range(1, STEPS + 1):
    checked(
        gemm(
            N,
            CLASSES,
            WIDTH,
            1,
            x,
            WIDTH,
            1,
            w,
            CLASSES,
            1,
            0,
            logits,
            CLASSES,
            1,
            None,
            NONE,
            None,
        )
    )
    checked(
        cross_entropy(N, CLASSES, logits, CLASSES, labels, logits, CLASSES, ctypes.byref(loss))
    )  # overwritten by the gradient of the logits
    checked(
        gemm(
            WIDTH,
            CLASSES,
            N,
            1,
            x,
            1,
            WIDTH,
            logits,
            CLASSES,
            1,
            0,
            dw,
            CLASSES,
            1,
            None,
            NONE,
            None,
        )
    )
    checked(adam(WIDTH * CLASSES, w, dw, m, v, step, 0.1, 0.9, 0.999, 1e-8, 0.0, 0, 1.0))
    losses.append(loss.value)

assert abs(losses[0] - 1.0986123) < 1e-6, "the loss of zero weights is log 3"
assert losses[-1] < 0.1, losses[-1]
print(f"ctypes: loss {losses[0]:.3f} -> {losses[-1]:.3f}")
