"""
Relative positions are rotations
================================

*Dive into Deep Learning*, section 11.6.3.2. Moving by k positions rotates each pair of columns of a
positional encoding by a fixed angle, at any position. The dot product of two positions therefore
depends on their distance alone; rotary embeddings build on the same identity.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn
from fastnn import nn

d, n = 32, 120
encoding = nn.PositionalEncoding(d, max_len=n, dtype=np.float64)
table = encoding(np.zeros((1, n, d)))[0]

# %%
# The rotation for a shift of k, applied to every position, against the encoding k further on.
k = 7
angles = k / 10_000 ** (2 * np.arange(d // 2) / d)
sin, cos = table[:-k, 0::2], table[:-k, 1::2]
rotated = np.empty_like(table[:-k])
rotated[:, 0::2] = np.cos(angles) * sin + np.sin(angles) * cos
rotated[:, 1::2] = -np.sin(angles) * sin + np.cos(angles) * cos
print("largest error:", abs(rotated - table[k:]).max())

# %%
# Dot products with the positions 20 and 60 are one curve, shifted. `fastnn.rotary` gives queries
# and keys the same property: the score depends on the distance.
rng = np.random.default_rng(0)
q, key = rng.normal(size=(2, 1, 1, 1, d))
turned_q, turned_k = (fastnn.rotary(np.tile(v, (1, 1, n, 1)))[0, 0] for v in (q, key))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
offsets = np.arange(-20, 60)
for position, style in ((20, "-"), (60, "o")):
    product = table[position + offsets] @ table[position]
    left.plot(offsets, product, style, ms=3, fillstyle="none", label=f"position {position}")
    right.plot(
        offsets,
        turned_k[position + offsets] @ turned_q[position],
        style,
        ms=3,
        fillstyle="none",
        label=f"query at {position}",
    )
left.set(xlabel="distance", ylabel="dot product", title="sinusoidal encoding")
right.set(xlabel="distance", ylabel="score", title="rotary query and key")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
plt.show()
