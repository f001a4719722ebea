"""
Additive and dot-product attention
==================================

*Dive into Deep Learning*, section 11.3. Both scores are high for a query and a key that belong
together. The scaled dot product multiplies them; the additive score adds them and sends them
through a tanh and a weight vector: more work, but queries and keys may have different sizes.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import kernels, plot

rng = np.random.default_rng(0)
d, lengths = 16, np.array([10, 6])
keys = rng.normal(size=(2, 10, d)).astype(np.float32)
values = rng.normal(size=(2, 10, 4)).astype(np.float32)
queries = keys[:, [1, 3, 5]] + 0.5 * rng.normal(size=(2, 3, d)).astype(np.float32)

# %%
# Dot-product attention in one call; arrays are (batch, heads, length, d).
pooled, weights = fastnn.attention(
    queries[:, None], keys[:, None], values[:, None], lengths=lengths, need_weights=True
)
print(pooled.shape, weights.shape)

# %%
# Additive attention: the scores, a masked softmax, and a product with the values. Hidden units
# saturate where query and key add up.
projected = rng.normal(size=(d, 128)).astype(np.float32) / 2
hidden = 128**-0.5 * np.ones(128, np.float32)
scores = kernels.additive_scores(queries @ projected, -(keys @ projected), hidden)
additive = fastnn.softmax(-abs(scores), lengths=lengths)
print(fastnn.matmul(additive, values).shape)

figure = plt.figure(figsize=(8, 3.6), layout="constrained")
plot.show_heatmaps(
    [weights[:, 0], additive],
    xlabel="key",
    ylabel="query",
    titles=["10 keys", "6 keys count"],
    cmap="Greys",
    figure=figure,
)
plt.show()
