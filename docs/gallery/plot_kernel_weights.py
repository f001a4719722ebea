"""
Attention weights of four kernels
=================================

*Dive into Deep Learning*, section 11.2.3. Each row belongs to a query and shows how much every key
counts for it. A narrow kernel attends to few neighbors, a wide one to many.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import kernels, plot

rng = np.random.default_rng(0)
keys = np.sort(rng.uniform(0, 5, size=(40, 1)), axis=0)
queries = np.linspace(0, 5, 40)[:, None]

# %%
# `need_weights` returns the weights too; each row sums to 1.
names = ("gaussian", "boxcar", "triangular", "constant")
weights = [
    kernels.attention_pooling(queries, keys, keys, kernel=name, need_weights=True)[1]
    for name in names
]
figure = plt.figure(figsize=(10, 3), layout="constrained")
plot.show_heatmaps(
    weights, xlabel="key", ylabel="query", titles=names, cmap="Greys", vmax=None, figure=figure
)
plt.show()
