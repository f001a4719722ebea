"""
Noise of minibatch gradients
============================

*Dive into Deep Learning*, section 12.5. The gradient of a batch is an estimate of that of all
examples. Its error falls with the root of the batch size: four times the work halves it.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import nn

x, y = fastnn.data.load_digits(split="train")
model = nn.MLP((64, 32, 10), rng=0)
parameters = model.parameters()


def gradient(rows):
    logits, ctx = model.forward(x[rows])
    _, dlogits = nn.cross_entropy(logits, y[rows])
    parameters.zero_grad()
    model.backward(dlogits, ctx, need_dx=False)
    return parameters.grad.copy()


# %%
# The distance from the gradient of all examples, relative to its norm; mean of 30 batches.
rng = np.random.default_rng(0)
whole = gradient(np.arange(len(x)))
sizes, errors = 2 ** np.arange(0, 10), []
for size in sizes:
    found = [gradient(rng.integers(len(x), size=size)) - whole for _ in range(30)]
    errors.append(np.mean([fastnn.frobenius_norm(e) for e in found]))
errors = np.array(errors) / fastnn.frobenius_norm(whole)

figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
axes.loglog(sizes, errors, "o-", label="measured")
axes.loglog(sizes, errors[0] / np.sqrt(sizes), "k--", lw=0.8, label=r"$1 / \sqrt{n}$")
axes.set(xlabel="batch size n", ylabel="relative error of the gradient")
axes.grid(alpha=0.3, which="both")
axes.legend(frameon=False)
plt.show()
