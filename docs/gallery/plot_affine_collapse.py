"""
Layers without an activation collapse
=====================================

*Dive into Deep Learning*, section 5.1.1. A stack of affine layers is one affine layer, however deep
it is; its rank is at most the smallest width. With a ReLU between the layers it is not.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastnn import nn

rng = np.random.default_rng(0)
x = rng.normal(size=(500, 32)).astype(np.float32)
widths = [1, 2, 4, 8, 16, 32]

# %%
# `nn.collapse` merges two layers. The merged layer computes the same up to rounding; the best
# affine fit to a stack with a ReLU misses most of it.


def relative_error(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


ranks, merged_errors, relu_errors = [], [], []
for width in widths:
    first, second = nn.Linear(32, width, rng=1), nn.Linear(width, 32, rng=2)
    merged = nn.collapse(first, second)
    ranks.append(np.linalg.matrix_rank(merged.weight.data))
    merged_errors.append(relative_error(merged(x), second(first(x))))

    wanted = second(np.maximum(first(x), 0))
    inputs = np.c_[x, np.ones(len(x))]
    affine, *_ = np.linalg.lstsq(inputs, wanted, rcond=None)
    relu_errors.append(relative_error(inputs @ affine, wanted))

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
left.plot(widths, ranks, "o-")
left.set(xlabel="hidden width", ylabel="rank of the merged 32 x 32 matrix")
right.semilogy(widths, relu_errors, "s--", label="ReLU between, best affine fit")
right.semilogy(widths, merged_errors, "o-", label="no activation, merged layer")
right.set(xlabel="hidden width", ylabel="relative error", ylim=(1e-8, 10))
right.legend(frameon=False, loc="center right")
for axes in (left, right):
    axes.grid(alpha=0.3)
plt.show()
