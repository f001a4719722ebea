"""
Paths of the optimizers
=======================

*Dive into Deep Learning*, sections 12.3 to 12.10. Each optimizer starts at (-5, -2) and minimizes
0.1 a² + 2 b², a long narrow valley. Plain gradient descent bounces between the walls; momentum
swings through; dividing by the size of past gradients makes both directions equally fast.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn, optim

curvature = np.array([0.1, 2.0], np.float32)


def path(make, steps=40):
    """The positions of an optimizer; the two parameters are the weights of a layer."""
    layer = nn.Linear(2, 1, bias=False, rng=0)
    weights = layer.weight
    weights.data[:, 0] = -5, -2
    optimizer = make(layer.parameters())
    places = [weights.data[:, 0].copy()]
    for _ in range(steps):
        weights.grad[:, 0] = 2 * curvature * weights.data[:, 0]
        optimizer.step()
        places.append(weights.data[:, 0].copy())
    return np.array(places)


paths = {
    "SGD": path(lambda p: optim.SGD(p, lr=0.4)),
    "momentum": path(lambda p: optim.SGD(p, lr=0.2, momentum=0.6)),
    "Adagrad": path(lambda p: optim.Adagrad(p, lr=1.5)),
    "Adadelta": path(lambda p: optim.Adadelta(p, lr=2, rho=0.9, eps=0.01)),
    "RMSprop": path(lambda p: optim.RMSprop(p, lr=0.3, alpha=0.9)),
    "Adam": path(lambda p: optim.Adam(p, lr=0.5)),
}

# %%
# Contours are lines of equal value; the minimum is at the cross.
a, b = np.meshgrid(np.linspace(-6, 3, 100), np.linspace(-3, 3, 100))
figure, grid = plt.subplots(2, 3, figsize=(10, 5.2), sharex=True, sharey=True, layout="constrained")
for (name, places), axes in zip(paths.items(), grid.flat, strict=True):
    axes.contour(a, b, 0.1 * a**2 + 2 * b**2, levels=12, colors="grey", linewidths=0.6)
    axes.plot(*places.T, "o-", ms=3, lw=1)
    axes.plot(0, 0, "k+", ms=12)
    axes.set(title=name, xlabel="a", ylabel="b")
    axes.label_outer()
plt.show()
