"""
A backward pass by hand, and how to check it
============================================

*Dive into Deep Learning*, section 5.3. The chain rule of a network with one hidden layer, written
out, is compared with central differences. Their error has two parts: the curvature, which falls
with the square of the step, and rounding, which grows as the step shrinks. `fastnn.gradcheck` uses
a step of 1e-5, near the minimum.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import nn

rng = np.random.default_rng(0)
x, y = rng.normal(size=(8, 5)), rng.normal(size=(8, 3))
w1, w2 = rng.normal(size=(5, 6)) / 2, rng.normal(size=(6, 3)) / 2


def loss(w1):
    return np.mean((fastnn.matmul(fastnn.tanh(fastnn.matmul(x, w1)), w2) - y) ** 2)


# %%
# Forward keeps the hidden values; backward goes through the same steps in reverse.
hidden = fastnn.tanh(fastnn.matmul(x, w1))
difference = fastnn.matmul(hidden, w2) - y
doutput = 2 * difference / difference.size
dhidden = doutput @ w2.T
dw1 = x.T @ (dhidden * (1 - hidden**2))

# %%
# The same network as layers, checked in one call.
model = nn.Sequential(
    nn.Linear(5, 6, activation="tanh", dtype=np.float64, rng=0),
    nn.Linear(6, 3, dtype=np.float64, rng=1),
)
print(fastnn.gradcheck(model, x))

# %%
# The largest error of central differences over their step.
steps, errors = 10.0 ** np.arange(-11, 0.1, 0.5), []
for step in steps:
    numeric = np.empty_like(w1)
    for place in np.ndindex(w1.shape):
        shift = np.zeros_like(w1)
        shift[place] = step
        numeric[place] = (loss(w1 + shift) - loss(w1 - shift)) / (2 * step)
    errors.append(abs(numeric - dw1).max())

figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
axes.loglog(steps, errors, "o-", label="measured")
axes.loglog(steps, errors[-3] * (steps / steps[-3]) ** 2, "k--", lw=0.8, label="curvature: $h^2$")
axes.loglog(steps, 1e-16 / steps, "k:", lw=0.8, label="rounding: $10^{-16} / h$")
axes.set(xlabel="step h", ylabel="largest error of the gradient", ylim=(1e-14, 1))
axes.grid(alpha=0.3)
axes.legend(frameon=False)
plt.show()
