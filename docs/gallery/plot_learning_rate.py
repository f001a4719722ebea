"""
Too small, right, and too large a learning rate
===============================================

*Dive into Deep Learning*, section 12.3. Gradient descent on x² multiplies x by 1 - 2 lr in every
step: it creeps, converges, oscillates or diverges.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn, optim

rates = {0.05: "s:", 0.2: "o-", 0.9: "^--", 1.05: "D-."}
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for rate, style in rates.items():
    layer = nn.Linear(1, 1, bias=False, rng=0)
    x = layer.weight
    x.data[:] = 10
    optimizer = optim.SGD(layer.parameters(), lr=rate)
    path = [10.0]
    for _ in range(12):
        np.multiply(2, x.data, out=x.grad)
        optimizer.step()
        path.append(float(x.data[0, 0]))
    axes.plot(path, style, label=f"lr = {rate}")
axes.axhline(0, color="k", lw=0.6)
axes.set(xlabel="step", ylabel="x")
axes.grid(alpha=0.3)
axes.legend(frameon=False)
plt.show()
