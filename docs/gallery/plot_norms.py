"""
Unit balls of three norms
=========================

*Dive into Deep Learning*, section 2.3.11. All points of the plane whose norm is 1. The Frobenius
norm of a vector is its L2 norm.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn

angle = np.linspace(0, 2 * np.pi, 200)
points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
l1 = np.array([fastnn.l1_norm(point) for point in points])
l2 = np.array([fastnn.frobenius_norm(point) for point in points])
norms = {"L1": l1, "L2": l2, "max": abs(points).max(axis=1)}

figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
for (name, norm), style in zip(norms.items(), ["-", "--", ":"], strict=True):
    axes.plot(*(points / norm[:, None]).T, style, label=name)
axes.set_aspect("equal")
axes.set(xlabel="$x_1$", ylabel="$x_2$")
axes.legend()
plt.show()
