"""
Initial weights and the size of activations
===========================================

*Dive into Deep Learning*, section 5.4.2. Weights of one fixed size make the activations of a deep
ReLU network vanish or explode. Those of He (Kaiming) keep their size; Xavier's, made for functions
that are linear around zero, lose half of the variance at each ReLU.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn

rng = np.random.default_rng(0)
x = rng.normal(size=(200, 256)).astype(np.float32)
depth = 30


def fixed(std):
    return lambda shape, rng, dtype: nn.init.normal(shape, rng, dtype, std=std)


initializers = {
    "normal, 0.02": fixed(0.02),
    "normal, 0.15": fixed(0.15),
    "Xavier": "xavier_normal",
    "He": "he_normal",
}

# %%
# The root mean square of the activations after each layer.
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for (name, init), style in zip(initializers.items(), ("s:", "^-.", "D--", "o-"), strict=True):
    rng, h, sizes = np.random.default_rng(1), x, []
    for _ in range(depth):
        h = nn.Linear(256, 256, activation="relu", init=init, rng=rng)(h)
        sizes.append(np.sqrt(np.mean(h**2)))
    axes.semilogy(range(1, depth + 1), sizes, style, markevery=3, label=name)
axes.set(xlabel="layer", ylabel="root mean square of activations")
axes.grid(alpha=0.3)
axes.legend(frameon=False)
plt.show()
