"""
A kernel regression with a trained width
========================================

*Dive into Deep Learning*, section 11.2 and its exercises. The width of the kernel is a parameter:
its gradient comes from `attention_pooling_backward`. Each example is predicted from the others, so
that its own value does not give it away. The trained kernel is narrower, its heat map sharper.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import kernels, nn, plot

rng = np.random.default_rng(0)
n = 50


def function(x):
    return 2 * np.sin(x) + x**0.8


keys = np.sort(rng.uniform(0, 5, size=(n, 1)), axis=0)
values = function(keys) + rng.normal(0, 0.5, size=keys.shape)
others = np.array([np.delete(np.arange(n), i) for i in range(n)])

# %%
# Gradient descent on the logarithm of the width, which keeps the width positive.
log_width, losses = 0.0, []
for _ in range(60):
    operands = keys[:, None], keys[others], values[others]
    width = np.exp(log_width)
    prediction = kernels.attention_pooling(*operands, width=width)
    loss, gradient = nn.mse_loss(prediction, values[:, None])
    *_, dwidth = kernels.attention_pooling_backward(gradient, *operands, width=width)
    log_width -= 0.5 * dwidth * width
    losses.append(loss)
print(f"width 1 -> {width:.2f}, loss {losses[0]:.3f} -> {losses[-1]:.3f}")

# %%
# The smooth curve of width 1 misses the maximum; the trained one follows it.
queries = np.linspace(0, 5, n)[:, None]
widths = {"width 1": 1.0, f"trained, {width:.2f}": width}
figure = plt.figure(figsize=(10, 3.4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1, 1.5))
axes = left.subplots()
axes.plot(keys, values, "o", color="grey", alpha=0.5, label="examples")
axes.plot(queries, function(queries), "k-", lw=0.8, label="function")
maps = []
for (name, value), style in zip(widths.items(), ("--", "-"), strict=True):
    found, weights = kernels.attention_pooling(
        queries, keys, values, width=value, need_weights=True
    )
    axes.plot(queries, found, style, lw=2, label=name)
    maps.append(weights)
axes.set(xlabel="x", ylabel="y")
axes.legend(frameon=False)
plot.show_heatmaps(maps, "key", "query", list(widths), cmap="Greys", vmax=None, figure=right)
plt.show()
