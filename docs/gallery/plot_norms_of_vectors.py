"""
Norms of random vectors
=======================

*Dive into Deep Learning*, section 2.3.11. The three usual norms of a vector of n standard normal
numbers grow at different speeds: the L1 norm like n, the L2 norm like the root of n, the largest
magnitude like the root of log n. The Frobenius norm of an array is the L2 norm of its elements.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastnn

rng = np.random.default_rng(0)
sizes = 4 ** np.arange(1, 10)
vectors = [rng.normal(size=(10, n)) for n in sizes]

# %%
# Norms are computed without overflow or underflow, whatever the scale of the elements.
x = np.array([3e200, -4e200])
print(fastnn.l1_norm(x), fastnn.frobenius_norm(x))

# %%
# Markers are means of ten vectors, thin lines are the expected growth.
l1 = [np.mean([fastnn.l1_norm(row) for row in x]) for x in vectors]
l2 = [np.mean([fastnn.frobenius_norm(row) for row in x]) for x in vectors]
largest = [abs(x).max(1).mean() for x in vectors]

figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
axes.loglog(sizes, l1, "s", label="L1")
axes.loglog(sizes, l2, "o", label="L2")
axes.loglog(sizes, largest, "^", label="max")
axes.loglog(sizes, np.sqrt(2 / np.pi) * sizes, "k-", lw=0.8, label=r"$n \sqrt{2 / \pi}$")
axes.loglog(sizes, np.sqrt(sizes), "k--", lw=0.8, label=r"$\sqrt{n}$")
axes.loglog(sizes, np.sqrt(2 * np.log(sizes)), "k:", lw=0.8, label=r"$\sqrt{2 \log n}$")
axes.set(xlabel="elements n", ylabel="norm")
axes.grid(alpha=0.3)
axes.legend(frameon=False)
plt.show()
