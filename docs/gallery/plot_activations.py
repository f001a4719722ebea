"""
Activation functions and their gradients
========================================

*Dive into Deep Learning*, section 5.1.2. Each activation has a forward and a backward pass; the
backward pass of a gradient of ones is the derivative.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn

x = np.linspace(-5, 5, 401)
layers = [nn.ReLU(), nn.LeakyReLU(0.1), nn.Sigmoid(), nn.Tanh()]
layers += [nn.GELU(), nn.SiLU(), nn.Softplus()]

figure, grid = plt.subplots(2, 4, figsize=(10, 5), sharex=True, layout="constrained")
for layer, axes in zip(layers, grid.flat, strict=False):
    y, ctx = layer.forward(x)
    derivative = layer.backward(np.ones_like(y), ctx)
    axes.plot(x, y, "-", label="value")
    axes.plot(x, derivative, "--", label="derivative")
    axes.set(title=type(layer).__name__, ylim=(-1.2, 3), xlabel="x", ylabel="y")
    axes.label_outer()
    axes.grid(alpha=0.3)
handles, labels = axes.get_legend_handles_labels()
grid[0, 3].set_xlabel("x")
grid[0, 3].tick_params(labelbottom=True)
grid[1, 3].set_axis_off()
grid[1, 3].legend(handles, labels, loc="center", frameon=False, fontsize=12)
plt.show()
