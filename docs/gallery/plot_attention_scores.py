"""
Additive and dot-product attention
==================================

*Dive into Deep Learning*, section 11.3. Both score how well a key answers a query. The scaled dot
product needs no parameters; the additive score sends query and key through a tanh and a weight
vector that are learned, so queries and keys may have different sizes.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn, optim, plot

rng = np.random.default_rng(0)
n_keys, d = 8, 8
names = rng.normal(size=(n_keys, d)).astype(np.float32)
names *= 3.5 / np.linalg.norm(names, axis=1, keepdims=True)
lengths = np.array([8, 5])


def task(batch):
    """Keys and values in random order; each query is a noisy key, its answer that key's value."""
    order = rng.permuted(np.tile(np.arange(n_keys), (batch, 1)), axis=1)
    wanted = rng.integers(0, 5, (batch, 3))
    keys, values = names[order], np.eye(n_keys, dtype=np.float32)[order]
    rows = np.arange(batch)[:, None]
    noise = 0.1 * rng.normal(size=(batch, 3, d)).astype(np.float32)
    return keys[rows, wanted] + noise, keys, values, values[rows, wanted], wanted


# %%
# Dot-product attention finds similar vectors at once, if vaguely; additive attention learns to.
dot = nn.DotProductAttention()
additive = nn.AdditiveAttention(d, d, 64, rng=0)
optimizer = optim.Adam(additive.parameters(), lr=5e-3)
for _ in range(1000):
    queries, keys, values, answers, _ = task(32)
    y, ctx = additive.forward(queries, keys, values)
    _, gradient = nn.mse_loss(y, answers)
    optimizer.zero_grad()
    additive.backward(gradient, ctx, need_dx=False)
    optimizer.step()

# %%
# `lengths` masks the last keys of the second example. A dot marks the key each query asks for.
queries, keys, values, _, wanted = task(2)
figure = plt.figure(figsize=(9, 5), layout="constrained")
for layer, part in zip((dot, additive), figure.subfigures(2, 1), strict=True):
    _, weights = layer(queries, keys, values, lengths=lengths, need_weights=True)
    titles = ["all 8 keys", "the first 5 keys"]
    plot.show_heatmaps(weights, "key", "query", titles, cmap="Greys", figure=part)
    for axes, places in zip(part.axes[:2], wanted, strict=True):
        axes.plot(places, range(3), "o", color="white", mec="black", ms=5)
    part.suptitle(type(layer).__name__)
plt.show()
