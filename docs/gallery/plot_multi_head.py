"""
Multi-head attention
====================

*Dive into Deep Learning*, section 11.5. Each head has projections of its own, so each can attend to
something else. Here they are random; `lengths` leaves out the padding of the second sentence.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn, plot

rng = np.random.default_rng(0)
x = rng.normal(size=(2, 8, 64)).astype(np.float32)
attention = nn.MultiHeadAttention(64, n_heads=4, init="he_normal", rng=0)

# %%
# The output has the shape of the input; the weights are (batch, heads, queries, keys).
y, weights = attention(x, lengths=np.array([8, 5]), need_weights=True)
print(y.shape, weights.shape)

figure = plt.figure(figsize=(10, 5), layout="constrained")
plot.show_heatmaps(
    weights,
    xlabel="key",
    ylabel="query",
    titles=[f"head {head}" for head in range(1, 5)],
    cmap="Greys",
    figure=figure,
)
plt.show()
