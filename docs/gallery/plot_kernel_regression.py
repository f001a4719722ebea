"""
Nadaraya-Watson pooling with four kernels
=========================================

*Dive into Deep Learning*, section 11.2. The prediction for a query is the mean of the values,
weighted by a kernel of the distance between query and key: attention before its time.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import kernels

rng = np.random.default_rng(0)


def function(x):
    return 2 * np.sin(x) + x


keys = np.sort(rng.uniform(0, 5, size=(40, 1)), axis=0)
values = function(keys) + rng.normal(size=keys.shape)
queries = np.linspace(0, 5, 101)[:, None]

# %%
# The constant kernel ignores the distance and gives the mean of all values.
figure, panels = plt.subplots(1, 4, figsize=(11, 3.2), sharey=True, layout="constrained")
for kernel, axes in zip(("gaussian", "boxcar", "triangular", "constant"), panels, strict=True):
    prediction = kernels.attention_pooling(queries, keys, values, kernel=kernel)
    axes.plot(keys, values, "o", color="grey", alpha=0.5, label="examples")
    axes.plot(queries, function(queries), "k--", label="function")
    axes.plot(queries, prediction, "-", lw=2, label="prediction")
    axes.set(title=kernel, xlabel="x")
panels[0].set_ylabel("y")
panels[0].legend(frameon=False)
plt.show()
