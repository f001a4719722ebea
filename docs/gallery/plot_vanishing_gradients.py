"""
Vanishing gradients
===================

*Dive into Deep Learning*, section 5.4.1. The derivative of a sigmoid is at most 1/4, so each layer
takes most of the gradient away. ReLU with He's initial weights hands it on, and so does a residual
connection around a normalized layer.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn

rng = np.random.default_rng(0)
width, depth = 128, 20
x = rng.normal(size=(64, width)).astype(np.float32)
dy = rng.normal(size=x.shape).astype(np.float32)


def residual(rng):
    return nn.Residual(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width, rng=rng)))


kinds = {
    "sigmoid": lambda rng: nn.Linear(width, width, activation="sigmoid", rng=rng),
    "tanh": lambda rng: nn.Linear(width, width, activation="tanh", rng=rng),
    "ReLU": lambda rng: nn.Linear(width, width, activation="relu", init="he_normal", rng=rng),
    "residual, layer norm": residual,
}

# %%
# Forward through all layers, and the gradient back from the last to the first.
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for (name, make), style in zip(kinds.items(), ("s:", "^-.", "o-", "D--"), strict=True):
    rng, h, run = np.random.default_rng(1), x, []
    for _ in range(depth):
        layer = make(rng)
        h, ctx = layer.forward(h)
        run.append((layer, ctx))
    gradient, norms = dy, []
    for layer, ctx in reversed(run):
        gradient = layer.backward(gradient, ctx)
        norms.append(np.linalg.norm(gradient) / np.linalg.norm(dy))
    axes.semilogy(range(1, depth + 1), norms[::-1], style, markevery=2, label=name)
axes.set_xticks(range(0, depth + 1, 5))
axes.set(xlabel="layer", ylabel="gradient at its input, relative to the output")
axes.grid(alpha=0.3)
axes.legend(frameon=False)
plt.show()
